"""What do the bytes of a file say: boxes, headers, tags, structure?"""
