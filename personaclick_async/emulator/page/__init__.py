"""The emulator's page in a browser: who is stored, what comes in, and what shall go wrong."""
