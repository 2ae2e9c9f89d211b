"""Where models and the user's code are: on the host, on a device, or on one that is pretended."""
