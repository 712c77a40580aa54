"""``/docs``: the page that describes the API."""
