"""What is ffmpeg to do? Pure functions from a Profile and a MediaInfo to an Invocation."""
