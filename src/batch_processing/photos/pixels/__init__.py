"""What the pixels of photos tell: one look at each content, and which photos show the same picture.

    looking    what a worker does with one photo: one decode, and what is kept of it
    stage      all photos of a library, in batches, resumable
    looks_job  the stage as a job of the engine
    previews   the small pictures, in a database of their own
    search     which fingerprints are near each other, exactly
    similar    which photos show the same picture, and which of them may go
    finding    the same as work for a worker, kept as a snapshot
    report     the same as a page, side by side
    enlarging  a photo as large as a window, or a part of it

Promises: a content is decoded once, in a process that may be killed, whatever its copies are called and wherever they
move. Nothing here writes to a photo.
"""
