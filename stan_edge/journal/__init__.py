"""The journal: the records of runs, on disk, for months.

One SQLite file in WAL mode, `journal.db`, because what is needed is what it was made for: a commit that is either whole
after a power cut or not there, readers beside the writer, marks on single rows, and a file that any tool opens. Text
files would be cut more easily, but every one of these would be ours to get right. What SQLite does not do is done here:

- It has no checksums: each row carries its CRC-32, and a damaged file is read page by page (`salvage`).
- It waits for the disk: all writing is in a thread of its own (`writer`), and only an alarm waits for it, for a bounded
  time.
- It does not give space back by itself: `auto_vacuum=INCREMENTAL`, and old rows go in small steps (`trimming`).

Two tables without any index, so that there is little to break: `records` (start, event, end, and notes of the
journal itself) is small, stays readable as text, and is read whole; `windows` is large, compressed (1,500 to 450 bytes)
and only ever read or trimmed in order.
"""
