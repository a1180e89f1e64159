"""Every ceiling and size in one place, each with its unit and its reason."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# --- content -------------------------------------------------------------------------------------------------------
CHUNK_BYTES_MIN = 256 * KIB  # a file below this is one chunk, so a tree of small files costs one hash each
CHUNK_BYTES_AVG = 1 * MIB  # 10 TB make ten million chunks: an index that fits in memory
CHUNK_BYTES_MAX = 4 * MIB  # a chunk always fits one segment
PAGE_BLOCK_BYTES = 1 * MIB  # page-structured files are cut here on the first backup
PAGE_HASH_BYTES = 16  # a missed change is a corruption: 128 bits make it unthinkable, 0.2 % of the data
PAGES_PER_ROW_MAX = 65_536  # 1 MiB of hashes: a page map is read in steps of this
PAGE_MAP_BASE_BYTES_MIN = 16 * KIB  # a smaller map is written whole: asking for its base would cost more than it saves
PAGE_MAP_DIFFERENCES_MAX = 1.0  # of a full map, spent on differences from it before a new one: least in the long run
NEEDS_WHOLE_BYTES_MAX = 256 * KIB  # to list one path larger needs are not read: its data keys are listed instead
NEEDS_SUPERFLUOUS_MAX = 0.25  # of the pack bytes a snapshot uses: more in its runs of needs, and they are written anew
PAGE_HOLES_PER_BLOCK_MAX = 32  # the largest ones: extents of a file are in memory together
PAGE_EXTENTS_PER_BLOCK_MAX = 32  # past this a block is rewritten whole, so reads stay sequential
SEGMENT_BYTES = 4 * MIB  # compressed once, sealed once; many small files share one call
SEGMENT_CHUNKS_MAX = 16_384  # of tiny files a segment holds no more, or its table in the footer would outgrow a pack
PACK_BYTES_TARGET = 16 * MIB  # 65,000 requests per TB; a window of packs per replica stays small in memory
PACK_BYTES_MAX = 64 * MIB  # a reader may refuse anything larger
FRAME_POWER = 20
FRAME_BYTES = 1 << FRAME_POWER  # sealed objects are read at random by frames of this size
READ_BYTES = 1 * MIB  # one read from a source: larger ones are no quicker, and a few are held at once

# --- objects ---------------------------------------------------------------------------------------------------------
CACHED_OBJECT_BYTES_MAX = 256 * MIB  # manifests up to this are fetched whole, once; larger ones are read by frame
COMMIT_BYTES_MAX = 1 * MIB
UNKNOWN_COMMITS_MAX = 256  # read in one command beyond twice those that are accepted: a planted name costs no more
REFUSED_KEPT_MAX = 20_000  # names of refused commits that a host remembers of one source, so as not to read them again
DATA_KEYS_OF_RUN_MAX = 64  # objects under one key id that are named or tried; one is right, the others were planted
CACHED_COMMIT_FILES_MAX = 8  # of one source; more are joined, so a listing opens few files after many nights
LEASE_END_BYTES_MAX = 2 * MIB  # it holds a whole commit in base64, or the hashes of `COPIED_COMMITS_MAX` commits
COPIED_COMMITS_MAX = 10_000  # put under one lease by a heal; the next run puts more
UNKNOWN_LEASES_MAX = 64  # read in one command at a replica, or twice those that are known: a planted one costs no more
UNKNOWN_SIGNED_MAX = (
    256  # tombstones, notes, verdicts that count for nothing: read by a command, or twice those that do
)
TAGS_MAX = 64  # of one snapshot by one note or commit; a person looks at them
TAG_CHARS_MAX = 128
VERDICT_BYTES_MAX = 1 * MIB  # of what a verify signs about packs
VERDICT_ROWS_MAX = 4096  # of each kind in a verdict: together 700 KB at most
PLAN_BYTES_MAX = 64 * MIB  # about 1,500,000 packs
PLAN_PACKS_MAX = 1_000_000  # that one plan condemns; the next one has the others
PLAN_NAMES_MAX = 100_000  # likewise, of other objects
PRUNE_GRACE_S = 7 * 86_400  # a rule that was wrong is seen within a week, and undone
PRUNE_PERCENT_MAX = 50.0  # of the bytes at a replica, at once, unless somebody says more
PRUNE_LEASE_POLL_S = 60.0  # a writer that a prune waits for is asked about this often
PRUNE_BATCH = 1000  # deletions between two looks at the plan; what S3 deletes in one request
LOCKS_SAMPLED = 16  # objects asked for a lock where the configuration has none
STAYING_PACKS_READ_MAX = 1000  # packs without use that stay: more are not asked for their keys, and all keys stay
TRASH_S = 7 * 86_400  # what a directory keeps of what was deleted
PLAN_QUIET_S = 86_400  # longer than a request to delete can be on its way, and names stay unused for it
PLAN_QUIET_S_MAX = 30 * 86_400  # a plan that says more is damaged: no maintainer keeps names from writers for ever
SIGNED_BYTES_MIN = 4400  # of a text that both algorithms signed: anything smaller is none, and is not read
REMEMBERED_MAX = 50_000  # ids or hashes that a host keeps in one file of its cache
SMALL_OBJECT_BYTES_MAX = 16 * MIB  # payloads of small objects, once decompressed
CACHE_PAYLOAD_BYTES_MAX = 2 * GIB  # of a file of this host, once decompressed
WHOLE_READ_BYTES_MAX = PACK_BYTES_MAX  # of an object whose reader names no limit of its kind
MULTIPART_BYTES_MIN = 64 * MIB  # objects above this are sent in parts
MULTIPART_PART_BYTES = 32 * MIB  # S3 allows 10,000 parts of at least 5 MiB: objects up to 312 GiB
LOG_ENTRY_BYTES_MAX = 1 * MIB  # of the owner log: a revocation that accepts 10,000 commits; longer lists are objects
COMPARE_BYTES_MAX = 1 * MIB  # a name that is taken: up to here bytes are compared, above it the provider's checksum
OBJECT_PIECE_BYTES = 16 * MIB  # of an object that is read to its end and hashed: most are packs, one request
BODY_PIECE_BYTES = 4 * MIB  # of an object that is sent, hashed or compared, at once
LISTED_NAME_BYTES_MAX = 1024  # what services allow, foreign objects too
LISTED_OBJECTS_MAX = 1 << 28  # of one listing: one that goes on has no end
LISTED_OBJECT_BYTES = 32  # of memory for each, at least: no more are listed than fit this host
LIST_EMPTY_PAGES_MAX = 1000  # in a row, while the service says that there are more: it may skip deleted objects
LIST_PAGE_OBJECTS = 1000  # what S3 gives at most; the others follow, so a page is one request everywhere
COUNT_MAX = 2**63 - 1  # of the audit tables; files that are all hole may claim more together
MANIFEST_GROUP_BYTES_MAX = 64 * MIB  # or of fewer rows, where paths, attributes or extents are long: columns hold 2 GiB
MANIFEST_BLOCK_BYTES = 1 * MIB  # plain, or `MANIFEST_BLOCK_ROWS`: one path costs one block of each run
MANIFEST_BLOCK_BYTES_MAX = 384 * MIB  # of a block with one row of very many extents; a reader refuses more
MANIFEST_BLOCK_ROWS = 2048
MANIFEST_FEW_BYTES = 2 * MIB  # of a run; where wanted rows may be in more, it is downloaded whole
MANIFEST_FRAME_POWER = 15  # a block is about 180 kB: larger frames would be read for nothing
MANIFEST_INDEX_BYTES_MAX = 128 * MIB  # 60 to 200 bytes a block; a reader refuses more
MANIFEST_TAIL_BYTES_MIN = 32 * KIB  # or a part of the run: its end, with the index, in one request
MANIFEST_TAIL_PART = 2048  # an index has a fifth of that for paths of usual length
MANIFEST_WHOLE_BYTES_MAX = 192 * KIB  # a smaller run is one request anyway
MANIFEST_ROWS_PER_GROUP = 16 * 1024  # a row group in memory is about 8 MB
PARQUET_GROUP_ROWS_MAX = 64 * 1024  # a writer of manifests ends a row group far below it, one of audit files here
PARQUET_GROUP_BYTES_MAX = 128 * MIB  # of the columns of a row group once decoded: a writer ends one at half of it
PARQUET_LARGE_BYTES_MAX = 384 * MIB  # or of the extents of one file that pack well: 9 million, 9 TB of equal blocks
PARQUET_UNPACKED_FACTOR = 8  # above that, bytes once decoded for each stored one
PARQUET_LIST_VALUES_MAX = 4 << 20  # of a column of lists in a row group: 256 attributes of each file
PARQUET_DICTIONARY_VALUES_MAX = 256 * KIB  # of a column: a writer ends its dictionary at 1 MiB
PARQUET_METADATA_BYTES = 256 * KIB  # of a file; each takes up to 250 bytes of memory
PARQUET_METADATA_SHARE = 32  # and this part of the file more: each row group has some 2 KB of it
FRAGMENT_FOOTERS_BYTES = 4 * MIB  # a fragment ends here too: of tiny files those of 64 packs would be near a gigabyte
FRAGMENT_PACKS_MAX = 64  # an index fragment covers at most this many packs, so a killed run keeps most of its work
INDEX_MEMORY_BYTES = 512 * MIB  # of chunks in memory: 12 million; a larger index is a file that is mapped
FOLD_FRAGMENTS_MIN = 8  # fragments of a like size are folded into one; each level is this many times as large
FOLD_LEVEL_BYTES = 64 * KIB  # of the first level: the fragment of a usual night
FOLD_BYTES_MAX = 60 * MIB  # a fold is no larger; from half of it on a fragment is folded no more
ENTRY_PATH_BYTES_MAX = 64 * KIB  # longer than any kernel path; a reader refuses more

# --- time ------------------------------------------------------------------------------------------------------------
LEASE_S = 900.0  # a writer silent for this long is dead
LEASE_BEAT_S = 240.0  # a new beat is written this often: fifteen small objects an hour
SHRINK_ENTRIES_MIN = 16  # a source of fewer entries may lose half of them on any day
SHRINK_BYTES_MIN = 1 * MIB  # and one of fewer bytes
SEQUENCE_MAX = (1 << 53) - 1  # of a source's snapshots: exact in every JSON reader, and an int64 in the audit tables
CLOCK_SKEW_S_MAX = 300.0  # more than this between host and store and leases cannot be ordered
INTERRUPT_PATIENCE_S = 20.0  # a command that was asked to stop releases its leases in that; then the process ends
PROBE_TIDY_S = 5.0  # an interrupted probe removes what it can in that; its objects are below probe/
CONNECT_TIMEOUT_S = 10.0  # a replica that does not answer by then is down
READ_TIMEOUT_S = 60.0  # longest silence within one request
RECEIVED_BYTES = 256 * KIB  # read at most at once from a connection
READ_RATE_MIN = 2 * KIB  # bytes a second, over that time: a body that trickles is no answer
SENT_BYTES = 64 * KIB  # given to a connection at once: this much has to pass within a time-out, also on a slow line
RETRY_ATTEMPTS_MAX = 5  # per request, in the retrying wrapper
RETRY_BASE_S = 0.2  # first wait; doubled each time, full jitter
RETRY_WAIT_S_MAX = 20.0  # longest wait between two attempts
RETRY_AFTER_S_MAX = 120.0  # a wait that a service asks for is obeyed up to here; a longer one is not sat out
RETRY_PAUSE_S_MAX = 2.0  # a breaker's pause that is sat out: a server that starts again; a longer one ends the call
BREAKER_FAILURES_MAX = 8  # passing failures in a row: more than one request makes, fewer than four of them do
BREAKER_PAUSE_S = 1.0  # before the first probe; doubled each time, half of it random
BREAKER_PAUSE_S_MAX = 60.0  # so a replica that comes back is noticed within a minute
PACED_PIECE_BYTES = 64 * KIB  # sent at once where bandwidth is limited: what a connection holds in its buffers anyway
PACED_PACK_S = 8.0  # what a pack may take because it shares a limited bandwidth with others
PACED_AHEAD_S = 1.0  # small objects may overtake: a lease is not to run out behind packs
PACED_BURST_S = 0.1  # of bandwidth not used, kept for later: small objects need not wait one after the other

# --- flow of work ----------------------------------------------------------------------------------------------------
READING_PROCESSES_MAX = 8  # one walk feeds no more: it lists 100,000 entries a second
READING_PROCESSES_FILES_MIN = 2048  # a backup that reads fewer starts none: starting takes as long as reading these
WALKING_PROCESSES_MAX = 4  # one backup compares no more than these find
WALKING_PROCESSES_ENTRIES_MIN = 20_000  # a smaller tree is walked by one thread: starting takes as long as it gains
WALK_SPAN_ENTRIES = 4096  # by the previous manifest: many share the cost of entering, and no process is left last
WALK_FRAME_ENTRIES = 1024  # found names sent at once: about 150 kB
WALK_FRAMES_AHEAD = 10  # of one process that wait for their turn: two spans, so that it goes on meanwhile
HASHING_PROCESSES_MAX = 4  # one thread reads, compares and hashes the whole for no more
HASHING_FILE_BYTES_MIN = 64 * MIB  # pages of smaller files are hashed before processes have started
HASHING_BUFFER_BYTES = 2 * MIB  # read at once for a hashing process
HASHING_BUFFERS_PER_PROCESS = 3  # one is filled, one hashed, one compared
BATCHES_PER_PROCESS = 2  # given ahead, so that the next is there when one is read; each holds up to BATCH_BYTES_MAX
READ_THREADS = 2  # reading and hashing small files: more only contend for the interpreter
SEAL_THREADS = 2  # compressing and sealing
UPLOADS_PER_REPLICA = 4  # concurrent puts to one replica, unless it is configured otherwise
UPLOADS_PER_REPLICA_MAX = 16  # the connections that are kept to it; each upload may hold a pack in memory
LOCK_THREADS = 12  # locks extended at once at one replica: leaves connections to the heads of a commit
LOCKS_AHEAD = 4096  # extensions handed to the threads at once, so that a million is no million futures
STORE_CONNECTIONS = 16  # kept open to one replica: uploads, and the reads of restore and verify beside them
PACK_PAGES_KEPT = 3  # packs whose pages are used again: those of the window
WINDOW_PACKS = 3  # packs in memory that a replica has not taken; of one that is further behind they go to disk
LAGGARD_WAIT_S = 30.0  # at the end, for a replica that can be expected to finish by then: a few packs over a slow line
RATE_BYTES_MIN = 16 * MIB  # fewer bytes in less time than LAGGARD_WAIT_S say nothing of a replica's rate
LAGGARD_WAIT_SHARE = 0.05  # or of the time that the run took so far, where that is longer
REPLICA_PATIENCE_S = (
    15.0  # that a replica may fail without a break when the quorum needs it: a server that starts again
)
REPLICA_RETRY_S = 2.0  # before a replica is tried again after a request was given up, half of it random
SPOOL_BYTES = 2 * GIB  # on disk for replicas that are behind: minutes of a fast backup, hours of a slow one
SPOOL_FREE_BYTES_MIN = 512 * MIB  # left free on the disk of the spool: the run's own files and its host need some
HEAP_TRIM_BYTES_MIN = 128 * MIB  # of memory of its own: from here on a process gives back what its heap does not use
READING_TRIM_BYTES_MIN = 160 * MIB  # likewise of restore and verify, where windows and packs come faster
MAPPED_BYTES_MIN = 32 * MIB  # of a block of memory: what segments free is used again, not returned and faulted in anew
RESTORE_MAPPED_BYTES_MIN = 1 * MIB  # likewise where ranges and packed segments of a restore would leave 60 MB of holes
RESTORE_MAPPED_FILES_MIN = 10_000  # of a snapshot: from here on they do. Few large files leave none, and go 4% faster
MOSTLY_KNOWN_FACTOR = 8  # read for each new byte: reading then takes far longer than compressing twice
CHANGED_FILE_ATTEMPTS = 3  # times a file that changes while read is read again
SQLITE_BUSY_S = 30.0  # a database locked for longer by its application is not to be had now
POSTGRES_SILENCE_S = 1800.0  # the first byte comes after a checkpoint, which may flush a large cache
STREAM_PIECE_BYTES = 1 * MIB  # protocol messages of 32 KiB are joined to this, so a piece costs nothing to hand on

# --- reading from replicas --------------------------------------------------------------------------------------------
READ_RATE_ASSUMED = 100 * MIB  # bytes a second of a replica not measured yet: a good line, so each is tried once
READ_TIME_FLOOR_S = 0.02  # differences below are those of the machine, not of replicas
READ_HOUR_PRICE = 20.0  # of waiting, in the price table's currency: as much as 220 GB sent at 0.09
READ_TWICE_PRICE_MAX = 0.02  # a GB: up to here a slow read may be asked of a second replica only to be quicker
HEDGE_SHARE_MAX = 0.05  # of the reads may be asked twice to be quicker
HEDGE_BURST = 4  # at once before that share was earned: one for each fetching thread
HEDGE_S_MIN = 0.25  # earlier than this a second request gains nothing worth its cost
HEDGE_UNSURE_S_MIN = 1.0  # likewise, of a replica of which little was measured
SILENT_S_MIN = 5.0  # without an answer for so long and a replica is done without, whatever the next one costs
LIFE_SIGN_BYTES = 16 * KIB  # of a body, in the patience for listings: less is as good as silence
LIFE_SIGN_OBJECTS = 64  # of a listing, likewise
LISTING_PATIENCE_S = 5.0  # of silence that readers grant the other replicas once one has answered, as for any read
SILENCE_S_MAX = 30.0  # of a replica that is asked one question: three times what a connection may take
WAIT_SHOWN_S = 1.5  # until a person sees whom a command waits for: one line, within two seconds
REPAIRS_WAITING_MAX = 64  # objects found bad by one reader; a replica that lost more is one for heal
REPAIRS_WAIT_S = 60.0  # for what is being mended when the reading is done: a few packs over a slow line
REPAIR_BODY_BYTES_MAX = 4 * MIB  # of a good object kept until it is put; a larger one is read again
READS_AT_ONCE_MAX = 32  # of one process, those included that nobody waits for any more; of packs, 8 MiB each

# --- directories ------------------------------------------------------------------------------------------------------
OPEN_DIRECTORIES_MAX = 64  # kept open by one source or target: far below the usual 1,024 descriptors of a process
OPEN_FILES_MAX = 64  # half-written files kept open by one target; the rest are opened again when their bytes come
SLOT_CONTENT_BYTES = 2 * MIB  # of small files given to a writing process at once; a larger file is none
SLOT_RECORD_BYTES = 256 * KIB  # and what else is to know of them; more than fits is placed without a process
SLOT_FILES_MAX = 256  # files given at once; a restore of fewer starts no process
WRITING_PROCESSES_MAX = 4  # making files is bound by the locks of the file system from about here on
STAGE_BYTES = 2 * MIB  # of a large file, written at once
STAGES = 2  # being written while one is filled: a disk takes no more at once any faster
DIRECT_ALIGNED_BYTES = 4 * KIB  # what disks ask of offsets and lengths, at most; of memory the kernel says so itself
DIRECT_WRITE_BYTES_MIN = MIB  # from here on a directory store writes past the page cache
DIRECT_FILE_BYTES_MIN = 2 * MIB  # from here on a restore writes past the page cache, which it would only push out
PAGED_FILE_BYTES_MIN = 1 * MIB  # below this a page map saves less than it costs
PAGE_BYTES = 4 * KIB  # what disks, kernels and most databases write at once
PROBLEMS_MAX = 100_000  # a list a person can still search and memory can still hold
SPOOL_MEMORY_BYTES = 16 * MIB  # metadata of directories waiting for the end of a restore; more goes to an unnamed file
UNANNOUNCED_BYTES_MAX = 4 * GIB  # read of a file behind the size it claims: one that never ends must not stop a backup
TIMESTAMP_TICK_S = 0.02  # kernels stamp files by a tick of up to 10 ms: a second write within one tick leaves no trace
TIMESTAMP_COARSE_S = 2.0  # likewise where the file system keeps whole seconds (FAT: even ones)
TIMESTAMP_WAITS_MAX = 3  # a file still being written after so many ticks is called changing

# --- keys ------------------------------------------------------------------------------------------------------------
ARGON2_MEMORY_KIB = 64 * KIB  # 64 MiB, 3 passes, 4 lanes: the second recommended choice of RFC 9106
ARGON2_ITERATIONS = 3
ARGON2_LANES = 4
ARGON2_MEMORY_KIB_MAX = GIB // KIB  # a damaged slot must not make a reader allocate without bound
ARGON2_ITERATIONS_MAX = 10  # likewise for time
ARGON2_LANES_MAX = 64
LOG_ENTRY_BYTES_MAX = 1 * MIB  # of the owner log: a revocation that accepts 10,000 commits; longer lists are objects
HEADER_BYTES_MAX = 64 * KIB
PAST_OWNERS_MAX = 16  # in the history of a header, which is made where the owner key is lost
LOG_ENTRIES_OF_NUMBER_MAX = 64  # read of one number; one is right, and a fork has two: the others were planted
LOG_NUMBERS_AT_ONCE = 4  # read before it is looked whether any of them counts: what follows others was planted
SLOTS_READ_MAX = 256  # of one replica; more were planted
SLOT_BYTES_MAX = 64 * KIB  # of a key slot, some 9 KiB with its two signatures

# --- audit -----------------------------------------------------------------------------------------------------------
AUDIT_FILE_ROWS_MAX = 64 * 1024  # rows of one audit file: about 100 MB of memory while encoding, 3 MB stored
AUDIT_FILE_BYTES_MAX = 256 * MIB  # a reader refuses more, so that a planted file cannot fill its memory
AUDIT_SEALS_UNNAMED_MAX = 256  # objects of seals' names that are none: read per command, or twice as many as are seals
CERTIFICATE_DAYS = 2 * 365  # of a new certificate; its end warns and stops nothing
CERTIFICATE_WARN_DAYS = 30  # before its end
COVERED_WITHIN_DAYS = 30  # a daily seal covers a commit long before; one that none covers is reported
COVERED_AGAIN_DAYS = 45  # commits of this host that the next daily seal covers, unless one of its own did
AUDIT_OUTBOX_BYTES_MAX = 256 * MIB  # audit files kept for replicas that are away; older ones are left for a heal
SCRUB_BATCH_OBJECTS = 2000  # judged together: their requests overlap, and a batch with its rows is a few MB
SCRUB_SLICE_OBJECTS = 1 << 16  # whose rows are grouped and sorted at once, in about 150 MB
SCRUB_HEADS = 16  # asked at once of one replica; as many connections are kept open
SCRUB_ABSENCES_ASKED_MAX = 1000  # names that a listing lacks, asked for one by one before they count as missing
SCRUB_SHOWN_MAX = 20  # foreign names in a result
PUT_SKEW_S = 3600.0  # a service's clock may be ahead of ours by this, and a pack must still not miss its turn
PROOF_ROWS_MAX = 8192  # of a reading, kept before they are written: what half an hour at 100 MB/s read
SENT_KEPT_MAX = 1 << 20  # objects whose checksum one process keeps for its audit rows: 16 TiB of packs, 300 MB of names
AUDIT_DOWNLOADS = 16  # audit files are small, so fetching them waits on round trips

# --- batches ---------------------------------------------------------------------------------------------------------
BATCH_ITEMS_MAX = 128  # small files handed to a reading thread at a time
BATCH_BYTES_MAX = 2 * MIB  # likewise, by size
SMALL_FILE_BYTES_MAX = 4 * MIB  # a larger file is streamed through the sealing thread
PENDING_UNITS_MAX = 4  # batches between walking and sealing; times BATCH_BYTES_MAX bounds the memory
MADE_IDS_RECENT_MAX = 1 << 14  # ids of chunks just made: 2 MB as a set, folded into tables of 40 bytes each
PROBLEMS_KEPT_MAX = 1000  # of a result; the count is exact
UNKNOWN_OBJECTS_MAX = 256  # named by nothing signed and refused once read: a run reads no more, or twice what it knows
SEGMENT_PAGES_KEPT = 14  # pages for opened segments, those in use included, that are not given back: as many as below
FETCH_THREADS = 4  # segments fetched and opened at once by a restore
WINDOW_SEGMENTS_MAX = 9  # of one restore window, a range that is fetched for it counted as two: mostly 24 MiB plain
WINDOW_PIECES_MAX = 4096  # entries of one restore window
WINDOW_BYTES_MAX = 32 * MIB  # of content in one restore window
RANGE_BYTES_MAX = 8 * MIB + 1 * KIB  # of a pack, read by one request: two full segments with their tags
OPENED_SEGMENTS_BYTES = 56 * MIB  # opened and still needed, those of two windows included; what is above goes to disk
PACKED_SEGMENTS_BYTES = 12 * MIB  # fetched with their neighbors and not yet opened; what is above is opened to disk
LISTING_PROBES = 8  # packs asked for by name when a listing lacks what must be there: one that is there is proof
LACKING_KEPT_MAX = 10_000  # of such packs: enough to choose from, and to show how bad it is
HEAD_OBJECTS_MAX = 200  # up to here one head an object, beyond one listing
HEAL_ABSENCES_ASKED_MAX = 64  # objects asked for by name before a listing that lacks them is believed
HEAL_THREADS = 8  # objects on their way to one replica at once
HEAL_MEMORY_BYTES = 32 * MIB  # an object up to this is copied through memory, a larger one through a scratch file
