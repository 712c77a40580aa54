"""What is known of the packages that we take: their licenses, and their weaknesses. Run by ``make audit``."""
