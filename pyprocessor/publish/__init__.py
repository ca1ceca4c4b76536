"""Giving verified output its final name: the only room that renames, replaces, links or removes files for the user.

`state_folder` makes the folder for what is not output, `strangers` refuses what is not ours in it, `partials` names and
clears unfinished output there, `publish` and `folders` give a file or a whole folder its final name, `receipts` note
what each output was made from, and `scratch` keeps sockets and notes of processes among the system's temporary files.
"""
