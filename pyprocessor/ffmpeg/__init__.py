"""How is ffmpeg found and called, and what does its output mean?"""
