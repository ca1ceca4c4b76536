"""What is done when and under which name: output names, the order of work, batches. All of it pure."""
