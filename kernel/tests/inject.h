/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Failing memory allocations, of a kernel built with --debug.
 */
#ifndef EXTFUSE_TEST_INJECT_H
#define EXTFUSE_TEST_INJECT_H

#include <stdbool.h>

/**
 * inject_init() - allow failures, of whatever may fail, without a word
 * @percent: how often for tasks that asked for it by inject_me()
 *
 * Returns false on a kernel that cannot.
 */
bool inject_init(int percent);
/** inject_me() - allocations of this process fail at random */
bool inject_me(void);
/** inject_nth() - this thread's @n-th allocation from now fails, 0: none does */
bool inject_nth(unsigned int n);
/** inject_done() - has inject_nth()'s allocation failed? */
bool inject_done(void);

#endif /* EXTFUSE_TEST_INJECT_H */
