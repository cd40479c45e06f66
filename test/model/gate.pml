/* SPDX-License-Identifier: BSD-3-Clause */

/* The gate (lib/sched/gate.h): control replaces a lookup table while data threads use it.
 *
 * The memory model is TSO, as on x86: a data thread's stores to `busy` wait in a store buffer and
 * become visible at any later time. membarrier(2) empties the buffers of all threads. Control's own
 * stores are sequentially consistent.
 *
 * Properties:
 *  - A table stays mapped and completely published while a data thread reads it.
 *  - Control answers every update, even if no data thread enters the gate again. The number of
 *    calls is limited: with endless calls it is a matter of chance, not of this protocol, that
 *    control sees the gate idle between two of them.
 *
 * Faults (-DFAULT=n), each of which must be found:
 *   1  the old table is unmapped before the wait
 *   2  a data thread reads the table's address before it sets busy
 *   3  the gates are opened before the new table is published
 *   4  no membarrier
 *   5  the membarrier comes before the gates are closed
 *   6  control waits only for the first data thread
 */
#ifndef FAULT
#define FAULT 0
#endif
#define THREADS 2
#define UPDATES 2
#define CALLS 3
#define NONE 2

bool mapped[2];
byte table = 0; /* the published one */
bool open = true;
bit busy[THREADS];
chan store_buffer[THREADS] = [2] of { bit };
byte answers = 0;

proctype memory(byte id) {
    bit value;
end:
    do
    :: atomic { store_buffer[id] ? value -> busy[id] = value }
    od
}

inline read_table(id) {
    assert(t != NONE && mapped[t])
}

proctype data(byte id) {
    byte t, calls = 0;
    bool entered;
    do
    :: calls < CALLS ->
        calls++;
#if FAULT == 2
        t = table;
#endif
        store_buffer[id] ! 1;
        entered = open;
        if
        :: entered ->
#if FAULT != 2
            t = table;
#endif
            read_table(id);
            read_table(id)
        :: else
        fi;
        store_buffer[id] ! 0
    :: true -> break /* a thread of the application may never call again */
    od
}

inline membarrier() {
    atomic {
        i = 0;
        do
        :: i < THREADS ->
            do
            :: store_buffer[i] ? value -> busy[i] = value
            :: empty(store_buffer[i]) -> break
            od;
            i++
        :: else -> break
        od
    }
}

proctype control() {
    byte i, old;
    bit value;
    do
    :: answers < UPDATES ->
        old = table;
#if FAULT == 5
        membarrier();
#endif
        open = false;
#if FAULT != 4 && FAULT != 5
        membarrier();
#endif
#if FAULT == 1
        mapped[old] = false;
#endif
        i = 0;
        do
#if FAULT == 6
        :: i < 1 ->
#else
        :: i < THREADS ->
#endif
            busy[i] == 0;
            i++
        :: else -> break
        od;
#if FAULT == 3
        open = true;
#endif
        table = NONE; /* during the replacement neither table is published */
        mapped[old] = false;
        mapped[1 - old] = true;
        table = 1 - old;
        open = true;
        answers++
    :: else -> break
    od
}

init {
    byte k = 0;
    mapped[0] = true;
    atomic {
        do
        :: k < THREADS -> run memory(k); run data(k); k++
        :: else -> break
        od;
        run control()
    }
}

ltl answered { <> (answers == UPDATES) }
