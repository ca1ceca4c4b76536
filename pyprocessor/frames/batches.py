"""How do frames go through a function of the user's, in micro-batches?"""
