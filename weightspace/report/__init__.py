"""Tables, figures and a page: reads results, never trains.

results -> `frame.tidy` -> `contents` and `charts` -> `study_page`. Every part
of the results may be missing; the page then leaves its section out.
"""
