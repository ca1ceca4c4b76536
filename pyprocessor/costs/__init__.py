"""What will a job take? Measured priors, corrected by what jobs took; the only cost model."""
