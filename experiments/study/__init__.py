"""A study of one or more zoos: stages of jobs, each of which writes a part.

A stage is a module with

  jobs(config, family) -> names of its jobs on the zoo of a task family
  run(study, name, progress) -> the part of the results of a job

`pipeline` runs the jobs that are missing and merges the parts; `study` is what
jobs share. The quickstart is a study of one zoo, few encoders and one seed.
"""
