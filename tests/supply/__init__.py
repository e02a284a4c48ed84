"""What is built and installed: the wheel, the source distribution, the versions they work with."""
