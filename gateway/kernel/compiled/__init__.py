"""The kernel as compiled for production; empty where nothing was compiled."""
