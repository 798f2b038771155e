"""The whole study of the paper: stages of jobs, each of which leaves a part.

A stage is a module with

  jobs(config, family) -> names of its jobs on that family's zoo
  run(bench, name, progress) -> the part of the results that a job found

`pipeline` runs what is missing, `bench` is what jobs have in common.
"""
