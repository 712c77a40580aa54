"""``nutmeg``: one module for each subject of its commands; ``app`` gathers them."""
