/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Publication (docs/coherence.md, C1 and C2): is what the kernel serves true?
 *
 * The daemon reads the lower file system and publishes what it read, at any
 * later time, while others change what was read.  A program serves from the
 * rows.  An answer is right if the lower file system was like that at some
 * instant between the start and the end of the serve.
 *
 * One step is one access to memory that others use, named as in
 * extfuse-daemon/lib/cache.c, bpf/rows.h and bpf/extfuse.bpf.c, whose atomics
 * and smp_rmb() keep these steps in order.  A serve changes nothing, so one of
 * them, at any time, stands for all.
 *
 * -DATTRS: one file's attributes, with -DMMAP stored to through a mapping
 * instead of written.  -DATIME: the same, where reads move them
 * after a write; with -DPASSTHRU that is one whose program publishes what it came to.  -DNAMES: one name, what it leads to, and the attributes of
 * that, which a look-up answers together; with -DCLEAR the name comes behind the
 * mount, and what must not be served when cache_clear() is over is what was.
 *
 * -D makes an error on purpose: NO_EPOCH_CHECK END_WITHOUT_EPOCH NO_CHANGING
 * NO_SEQ END_REVERSED EPOCH_AFTER_READ END_PUBLISHES_ALWAYS READ_UNCOUNTED
 * READ_NO_RECHECK ENTRY_NO_QUIET ENTRY_NO_DROP CLEAR_ROWS_FIRST
 */
#define DIR	0
#define A	1	/* nodes; 0 as a target: there is no such name */
#define B	2
#define NODES	3

/* struct extfuse_node; the attributes are two words that must belong together */
byte epoch[NODES] = 1, changing[NODES], seq[NODES], attr_epoch[NODES] = 1;
byte attr_lo[NODES], attr_hi[NODES];
bool mmapped;

/* cache_read_begin(): the row's atime_until, and the reads that it let pass */
bool stable = true;
byte readers;

/* A row of entry_map: key 1 is our name, 2 another one. */
byte row_seq, row_key, row_target;
bool row_stale, table_lock;

/* The lower file system; what has been true there since the serve began. */
byte lower_attr[NODES];
#ifdef CLEAR
byte lower_name;
#else
byte lower_name = A;
#endif
bool due;			/* the next read moves atime */
bool known = true;		/* nothing has changed that nobody was told */
int seen;

#ifndef NAMES
#define NOW	(1 << lower_attr[A])
#else
#define ANSWER(target, attr) (1 << (4 * (target) + (attr)))
#define NOW	ANSWER(lower_name, (lower_name -> lower_attr[lower_name] : 0))
#endif

inline lower_moves()
{
	if
	:: seen -> seen = seen | NOW
	:: else
	fi
}

inline lower_change(node)
{
	d_step { lower_attr[node]++; due = true; lower_moves() }
}

/* A change, by a program or by the daemon */

inline change_begin(node, begun)
{
	changing[node]++;
	begun = epoch[node]
}

inline change_end(node)
{
#ifdef END_WITHOUT_EPOCH
	changing[node]--
#elif defined(END_REVERSED)
	changing[node]--;
	epoch[node]++
#else
	epoch[node]++;
	changing[node]--
#endif
}

/* attr_insert() and node_publish(): of two writers one gives way */
inline put_attr(node, at, value)
{
#if defined(ATIME) && !defined(READ_UNCOUNTED)
	if
	:: moves && readers -> goto given_way
	:: else
	fi;
#endif
	if
#ifndef NO_EPOCH_CHECK
	:: epoch[node] != at
#endif
	:: else ->
		if
		:: d_step { (seq[node] & 1) == 0 -> seq[node]++ };
			attr_lo[node] = value;
#ifdef ATTRS
			attr_hi[node] = value;
#endif
#ifdef ATIME
			stable = !moves;
#endif
			attr_epoch[node] = at;
			seq[node]++
		:: else
		fi
	fi;
given_way:
	skip
}

#ifdef ATIME
#define fstat(node) d_step { value = lower_attr[node]; moves = due }
#else
#define fstat(node) value = lower_attr[node]
#endif

/* attr_read(): fstat() and publish */
inline attr_read(node)
{
#ifdef EPOCH_AFTER_READ
	fstat(node);
	at = epoch[node];
#else
	at = epoch[node];
	fstat(node);
#endif
	put_attr(node, at, value);
	d_step { at = 0; value = 0 }
}

/* node_read_attr() */
inline read_attr(node)
{
	s = seq[node];
	e = epoch[node];
	if
#ifdef NO_EPOCH_CHECK
	:: attr_epoch[node] == 0 || (s & 1) -> goto upcall
#else
	:: attr_epoch[node] != e || (s & 1) -> goto upcall
#endif
	:: else
	fi;
	if
	:: mmapped -> goto upcall
	:: else
	fi;
	lo = attr_lo[node];
#ifdef ATTRS
	hi = attr_hi[node];
#endif
#ifndef NO_CHANGING
	if
	:: changing[node] -> goto upcall
	:: else
	fi;
#endif
#ifndef NO_EPOCH_CHECK
	if
	:: epoch[node] != e -> goto upcall
	:: else
	fi;
#endif
#ifndef NO_SEQ
	if
	:: seq[node] != s -> goto upcall
	:: else
	fi
#endif
}

/* attr_delete() */
inline attr_void()
{
	changing[A]++;
	epoch[A]++;
	changing[A]--
}

#if (defined(ATTRS) && !defined(MMAP)) || defined(PASSTHRU)
/*
 * A passthrough WRITE, which the lower file system does in two steps; the
 * program publishes what it came to (change_end() of bpf/extfuse.bpf.c).
 */
active proctype writer()
{
	byte at, value;
	bool alone;
#ifdef ATIME
	bool moves;
#endif

	change_begin(A, at);
	lower_change(A);
	lower_change(A);
	fstat(A);
#ifdef END_PUBLISHES_ALWAYS
	d_step { alone = true; at = epoch[A]; epoch[A]++ };
#else
	d_step { alone = epoch[A] == at; epoch[A]++ };
#endif
	if
	:: alone -> put_attr(A, at + 1, value)
	:: else
	fi;
	changing[A]--;
	d_step { at = 0; value = 0; alone = false }
}
#endif

#ifdef ATTRS
#ifdef MMAP
/* A shared mapping: nobody announces the stores, so nothing is served more. */
active proctype mapper()
{
	mmapped = true;
	epoch[A]++;
	lower_change(A)
}
#endif

active proctype getattr()
{
	byte at, value;

	attr_read(A)
}

/* SETATTR publishes what it made, with the epoch of its own end. */
active proctype setattr()
{
	byte at, value;

	change_begin(A, at);
	lower_change(A);
	fstat(A);
	change_end(A);
	put_attr(A, at + 1, value);
	d_step { at = 0; value = 0 }
}
#endif

#ifdef ATIME
#ifndef PASSTHRU
/* A change that may publish what it made, and one that does not. */
active proctype change()
{
	byte at, value;
	bool moves;

	change_begin(A, at);
	lower_change(A);
	fstat(A);
	change_end(A);
	if
	:: put_attr(A, at + 1, value)
	:: skip
	fi;
	d_step { at = 0; value = 0; moves = false }
}
#endif

active proctype getattr()
{
	byte at, value;
	bool moves;

	attr_read(A);
	moves = false
}

/* READ, READLINK or READDIR by the daemon */
active proctype reader()
{
	byte at;
	bool watched;

	readers++;
	at = epoch[A];
	if
	:: attr_epoch[A] == at -> watched = stable
	:: else
	fi;
	if
	:: watched
	:: else -> change_begin(A, at)
	fi;
	d_step {
		if
		:: due -> lower_attr[A]++; due = false; lower_moves()
		:: else
		fi
	};
	if
	:: !watched -> change_end(A)
#ifndef READ_NO_RECHECK
	:: watched && changing[A] -> attr_void()
	:: watched && !changing[A] ->
		if
		:: epoch[A] != at -> attr_void()
		:: else
		fi
#else
	:: watched
#endif
	fi;
	readers--;
	d_step { at = 0; watched = false }
}
#endif

#ifndef NAMES

active proctype serve()
{
	byte s, e, lo, hi;

	seen = NOW;
	read_attr(A);
#ifdef ATTRS
	assert(lo == hi);
#endif
	assert(seen & (1 << lo));
upcall:	seen = 0
}
#endif

#ifdef NAMES
inline clear_row()
{
	row_seq++;
	row_key = 0;
	row_seq++
}

/* lookup_delete() */
inline drop_entry()
{
	atomic {
		!table_lock -> table_lock = true;
		if
		:: row_key == 1
		:: else -> table_lock = false; goto dropped
		fi
	};
	clear_row();
	table_lock = false;
dropped:
}

inline write_row(key, target)
{
	if
	:: row_key -> clear_row()
	:: else
	fi;
	row_seq++;
	d_step { row_key = key; row_stale = false };
	row_target = target;
	d_step { row_seq++; table_lock = false }
}

/* lookup_insert() */
inline put_entry(at, target)
{
#ifdef ENTRY_NO_QUIET
	atomic { !table_lock -> table_lock = true };
	write_row(1, target)
#else
	atomic {
		!table_lock;
		if
		:: changing[DIR] == 0 -> table_lock = true
		:: else -> goto refused
		fi
	};
	if
	:: epoch[DIR] == at -> write_row(1, target)
	:: else -> table_lock = false
	fi;
refused:
#endif
}

/* What a program does when it sees the request: remove() */
inline remove()
{
	d_step {
		epoch[DIR]++;
		if
		:: row_key == 1 && (row_seq & 1) == 0 -> row_stale = true
		:: else
		fi
	}
}

active proctype lookup()
{
	byte dir, target, at, value;

	dir = epoch[DIR];
	target = lower_name;
	if
	:: target == A -> attr_read(A)
	:: else
	fi;
	put_entry(dir, target);
	d_step { dir = 0; target = 0 }
}

#ifdef CLEAR
inline move_epochs()
{
	epoch[DIR]++;
	epoch[A]++
}

/* cache_clear(), after events were lost */
active proctype overflow()
{
	d_step { known = false; lower_name = B; lower_moves() };
#ifdef CLEAR_ROWS_FIRST
	drop_entry();
	move_epochs();
#else
	move_epochs();
	drop_entry();
#endif
	known = true
}
#else
/* The victim's attributes change with the name. */
active proctype unlink()
{
	byte dir;

	remove();
	change_begin(DIR, dir);
#ifndef ENTRY_NO_DROP
	drop_entry();
#endif
	changing[A]++;
	d_step { lower_name = 0; lower_attr[A]++; lower_moves() };
	change_end(A);
	change_end(DIR);
	put_entry(dir + 1, 0);
	dir = 0
}

active proctype create()
{
	byte dir;
	bool made;

	remove();
	change_begin(DIR, dir);
#ifndef ENTRY_NO_DROP
	drop_entry();
#endif
	d_step {
		if
		:: lower_name == 0 -> lower_name = B; made = true; lower_moves()
		:: else
		fi
	};
	change_end(DIR);
	if
	:: made -> put_entry(dir + 1, B)
	:: else
	fi;
	d_step { dir = 0; made = false }
}

/* The map is full, the row goes to another name; or the file is written to. */
active proctype other()
{
	if
	:: atomic { !table_lock -> table_lock = true };
		write_row(2, B)
	:: changing[A]++;
		lower_change(A);
		change_end(A)
	fi
}
#endif

/* entry_short_find() and serve_entry() */
active proctype serve()
{
	byte s, e, lo, rs, target;
	bool told;

	d_step { seen = NOW; told = known };
	rs = row_seq;
	if
	:: row_key != 1 || (rs & 1) -> goto upcall
	:: else
	fi;
	if
	:: row_stale -> goto upcall
	:: else
	fi;
	target = row_target;
	if
	:: target -> read_attr(target)
	:: else
	fi;
	if
	:: row_seq != rs || row_stale -> goto upcall
	:: else
	fi;
	assert(!told || (seen & ANSWER(target, lo)));
upcall:	seen = 0
}
#endif
