"""The literal data of the sample: datasets, agencies and towns. Read through ``importlib.resources``."""
