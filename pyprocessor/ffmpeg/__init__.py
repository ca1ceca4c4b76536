"""How is ffmpeg found, told, run and understood?"""
