"""Where do jobs come from?"""
