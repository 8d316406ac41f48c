/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Node lifetime (docs/coherence.md, L1..L4): when may a node be freed?
 *
 * One slot of the node table and one name.  The kernel learns a nodeid from the
 * daemon's replies, and from a program that serves the name's row without the
 * daemon.  It forgets; the row comes and goes; the reaper frees the node, and a
 * later look-up takes the slot for a node of the next generation.
 *
 * One step is one access to memory that others use, named as in
 * extfuse-daemon/stackfs/{node,reaper,entry}.c, lib/cache.c and
 * bpf/extfuse.bpf.c.  They use sequentially consistent atomics throughout, so
 * spin's own order of things is theirs.
 *
 * -D makes an error on purpose: FREE_BEFORE_GRACE COUNT_AFTER_REPLY NO_RECHECK
 * NO_DYING DYING_FIRST KEEP_LOSES
 */
#define APPS	2
#define IDS	(APPS + 2)	/* of generation g the nodeid is g, 0 is none */

/* At first the name has a row, and the kernel does not know the node. */
byte id = 1, refs, pins = 1;	/* struct node */
short lookups;
bool queued, dying, hashed = true;
bool slot_free;			/* node table */
byte generation = 1;
byte row_id = 1, served;	/* attr_map */
byte entry = 1;			/* entry_map */

bool nodes_lock, table_lock, queue;

/* The kernel: lookups to be forgotten and users of the inode, by nodeid. */
byte nlookup[IDS], users[IDS];

/* Programs that run, and those of them that a grace period waits for. */
byte running, waited_for;
byte apps_left = APPS;

#define LOCK(l)		atomic { !l -> l = true }
#define UNLOCK(l)	l = false

/* Does nothing lead to the node?  The counts are read one after the other. */
inline node_idle(result)
{
	if
	:: id == 0 || refs != 0
	:: else ->
		if
		:: pins != 0
		:: else ->
			sum = lookups;
			d_step { result = (sum + served == 0); sum = 0 }
		fi
	fi
}

inline node_queue()
{
	if
	:: atomic { !queued -> queued = true }; queue = true
	:: else
	fi
}

inline node_put()
{
	atomic {
		refs--;
		if
		:: refs == 0 -> idle = true
		:: else
		fi
	};
	if
	:: idle ->
		idle = false;
		node_idle(idle);
		if
		:: idle -> idle = false; node_queue()
		:: else
		fi
	:: else
	fi
}

/* By nodeid; never ESTALE for one that the kernel holds (L1). */
inline node_get(g)
{
	refs++;
	assert(id == g);
#ifndef NO_DYING
	dying = false
#endif
}

inline node_unpin()
{
	atomic {
		pins--;
		if
		:: pins == 0 -> idle = true
		:: else
		fi
	};
	if
	:: idle ->
		idle = false;
		if
		:: lookups <= 0 ->
			if
			:: refs == 0 -> node_queue()
			:: else
			fi
		:: else
		fi
	:: else
	fi
}

inline drop_row()
{
	entry = 0;
	node_unpin()
}

inline kernel_learns(g)
{
	d_step {
		nlookup[g]++;
		if
		:: known == 0 -> known = g; users[g]++
		:: else
		fi
	}
}

/* entry_publish() and entry_reply() */
inline publish(g)
{
	pins++;
	if
	:: LOCK(table_lock);
		if
		:: entry -> drop_row()
		:: else
		fi;
		d_step { entry = g; UNLOCK(table_lock) }
	:: node_unpin()		/* the directory has changed meanwhile */
	fi;
	lookups++;
	if
	:: kernel_learns(g)
	:: lookups--		/* nobody took the reply */
	fi
}

/* node_find_or_new(); without a free slot: as if it had come later */
inline find_or_new()
{
	atomic { !nodes_lock && (hashed || slot_free) -> nodes_lock = true };
	if
	:: hashed ->
		refs++;
#ifndef NO_DYING
		dying = false
#endif
	:: else ->
		d_step {
			slot_free = false;
			lookups = 0;
			pins = 0;
			dying = false;
			refs++;
			id = generation;
			hashed = true
		};
		d_step { served = 0; row_id = id }
	fi;
	g = id;
	UNLOCK(nodes_lock)
}

/* The node that is handed out lives, and its row is still its own. */
inline count_served(g)
{
	d_step { assert(id == g && row_id == g); served++ }
}

inline program_ends()
{
	d_step {
		running = running & ~(1 << _pid);
		waited_for = waited_for & ~(1 << _pid)
	}
}

/* serve_entry(): the reply reaches the kernel when the program is over */
inline serve()
{
	running = running | (1 << _pid);
	g = entry;
	if
	:: g && row_id == g ->
#ifndef COUNT_AFTER_REPLY
		count_served(g);
#endif
		program_ends();
		kernel_learns(g);
#ifdef COUNT_AFTER_REPLY
		count_served(g)
#endif
	:: else -> program_ends()
	fi;
	g = 0
}

/* The inode goes: node_forget(). */
inline forget(g)
{
	if
	:: d_step { users[g] == 0 && nlookup[g] > 0 -> n = nlookup[g]; nlookup[g] = 0 };
		node_get(g);
		d_step { lookups = lookups - n; n = 0 };
		node_put()
	:: else
	fi
}

proctype app()
{
	byte known, g, n;
	short sum;
	bool idle;

	serve();
	if
	:: known == 0 ->
		find_or_new();
		publish(g);
		node_put();
		g = 0
	:: else
	fi;
	if
	:: known ->
		if
		:: true ->	/* LINK makes a row for a node got by its id */
			node_get(known);
			publish(known);
			node_put()
		:: true
		fi;
		users[known]--;
		if
		:: true -> forget(known)
		:: true
		fi
	:: else
	fi;
	apps_left--
}

/* Rows go when names change and when the map is full; at last all is dropped. */
proctype caches()
{
	byte n, g;
	short sum;
	bool idle;

	do
	:: atomic { entry && !table_lock -> table_lock = true };
		drop_row();
		UNLOCK(table_lock)
	:: apps_left == 0 && entry == 0 -> break
	od;
	g = 1;
	do
	:: g < IDS -> forget(g); g++
	:: else -> break
	od;
	/* No leak (L2): when there is nothing more to do the node is free. */
	timeout -> assert(id == 0 && slot_free && !queued)
}

/*
 * node_unreach(), with the table locked.  Idle first, dying second: who got the
 * node by its id before has cleared dying, and later nobody has its id.
 */
inline unreach(result)
{
#ifdef DYING_FIRST
	result = dying;
	if
	:: result -> result = false; node_idle(result)
	:: else
	fi;
#else
	node_idle(result);
	result = result && dying;
#endif
#ifdef NO_RECHECK
	result = true;
#endif
	if
	:: result ->
		g = id;
		id = 0;
		if
		:: refs != 0 -> id = g; result = false
		:: else -> hashed = false
		fi
	:: else
	fi
}

inline keep()
{
	queued = false;
#ifndef KEEP_LOSES
	node_idle(idle);
	if
	:: idle -> idle = false; node_queue()
	:: else
	fi
#endif
}

active proctype reaper()
{
	byte g;
	short sum;
	bool idle;

	atomic {
		run caches();
		do
		:: apps_left > g -> g++; run app()
		:: else -> g = 0; break
		od
	};
end:
	do
	:: queue ->
		queue = false;
		dying = true;
		node_idle(idle);
		if
		:: !idle -> keep()
		:: else ->
			idle = false;
#ifndef FREE_BEFORE_GRACE
			waited_for = running;
			waited_for == 0;
#endif
			LOCK(nodes_lock);
			unreach(idle);
			UNLOCK(nodes_lock);
			if
			:: !idle -> keep()
			:: else ->
				idle = false;
				assert(nlookup[g] == 0 && entry != g && pins == 0);
				row_id = 0;	/* cache_node_del() */
				queued = false;
				LOCK(nodes_lock);
				d_step { slot_free = true; generation++ };
				UNLOCK(nodes_lock)
			fi;
			g = 0
		fi
	od
}
