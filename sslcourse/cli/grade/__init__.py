"""`sslcourse grade SUBMISSIONS --to RESULTS`: points for a class, without believing what a student's kernel says.

Every exercise of every submission is judged alone, in a fresh process that is forked, fenced in and thrown away. The
checks, the points and the names come from this copy of the course. A submission is graded or refused by name.

    collect.py   which files, whose           notebook.py  a file as cells
    released.py  what the week asks for       pull.py      exercises and answers by id and name; repair.py writes them
    pool.py      joblib's workers             server.py    the judging process of a worker
    nursery.py   forks the children           student.py   the child that student code runs in; fence.py its walls
    apart.py     calls that travel            values.py    how; screen.py and integrity.py where they cannot
    command.py   the order of all this
    report.py    csv, summary; feedback.py a page a student; gradebook.py nbgrader
"""
