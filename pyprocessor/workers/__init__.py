"""How is a batch of jobs run in a process of its own?"""
