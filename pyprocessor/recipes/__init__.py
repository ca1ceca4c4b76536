"""What ffmpeg is to do: pure functions from a Profile and a MediaInfo to an Invocation."""
