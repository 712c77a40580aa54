"""What operators see and do: status, dead letters, event paths, parked jobs, accepted losses."""
