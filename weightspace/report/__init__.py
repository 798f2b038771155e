"""Tables, figures and a page: reads results, never trains.

`page.write(results, folder)` is the whole of it. Every part of the results
may be missing; the page then leaves its section out.
"""
