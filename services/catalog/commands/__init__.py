"""What is done to the catalogue: by a harvest, by people, and by its own recurring work."""
