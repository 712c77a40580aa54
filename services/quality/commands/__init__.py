"""What quality is asked to do, each inside one unit of work."""
