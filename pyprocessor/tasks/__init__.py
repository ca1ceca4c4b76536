"""How is each kind of work predicted and done?"""
