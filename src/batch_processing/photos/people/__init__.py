"""Who is on the photos: faces, and the people that they belong to. Nothing here runs before somebody asks for faces.

    models      which networks find and describe faces, where they lie, and how they come there
    bringing    the known networks out of files, wheels and ZIPs into Lote's data folder
    finding     the faces of one decoded picture (in a worker, within the look at its pixels)
    recording   what was found, as rows; what was known of faces before another model looked
    asked       whether faces were ever asked for, and by which networks
    nearest     which faces are most like each other: exact, and brought up to date
    clustering  which faces are one person's: pure, exact, the same in any order
    grouping    the same in a library: what is new is grouped, and people get their numbers
    remembered  what a grouping leaves for the next one, in a file that may be deleted
    people      people by number and name, and the faces that are known: the doors
    person      their nouns; naming: which spellings are one name
    deeds       what is done to people, in a transaction, and undo; splitting: who goes along
    forgetting  leave no face behind

Promises: names hang on faces, never on clusters; what a person has said is kept for ever; two faces of one photo are
never one person; everything but forgetting can be undone. Nothing here writes to a photo or to a network.
"""
