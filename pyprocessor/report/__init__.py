"""What are people and programs shown of a run: progress, logs, the closing summary?"""
