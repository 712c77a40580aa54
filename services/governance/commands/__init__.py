"""What people ask governance to do: with rights, with the directory, with requests for data."""
