"""What is in a file, and when? What becomes of its streams? Is an output what it should be?"""
