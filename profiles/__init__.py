"""The built-in profiles, one YAML file each; installed as the package `pyprocessor.builtin_profiles`."""
