/* SPDX-License-Identifier: BSD-3-Clause */

/* A queue across crashes and stops (lib/ring/split.h, lib/net/from_guest.h). Chains are completed in
 * the order of the avail ring, by the burst that took them, and the next process starts from the
 * used index.
 *
 * The process may be killed between any two steps; then another one starts. Only this survives: the
 * ring, the journal (whether the queue runs), and the position that QEMU saved. On x86 stores
 * become visible in their order, also those of a killed process, so a step is a store. A request
 * that was not answered is repeated.
 *
 * Properties:
 *  - The driver sees used elements only of chains in flight, each once, and gets all of them back
 *    (else it waits forever: a deadlock).
 *  - The device touches only buffers in flight.
 *  - The answer to a stop is the number of completed chains, and nothing is written after it.
 *  - No frame is delivered twice. A frame is lost only with the process that held it.
 *
 * Faults (-DFAULT=n), each of which must be found:
 *   1  the position is in a journal, written before the used index
 *   2  the position is in a journal, written after the used index
 *   3  the used index is written before the elements
 *   4  the next process starts from the avail index
 *   5  the second chain of a burst is completed before the first
 *   6  the next process starts from the position that QEMU set
 *   7  a stop is answered in the middle of a burst
 *   8  the next process counts the used index from 0
 *   9  a burst delivers before it publishes
 *   10  a stop is answered with the avail index
 *   11  the next process runs a queue that was stopped
 *   12  the next process runs a queue that the kernel does not report ready yet
 */
#ifndef FAULT
#define FAULT 0
#endif
#define SIZE 2
#define CHAINS 4
#define DEATHS 2
#define STOPS 1
#define NOBODY 255

#define NOTHING 0
#define STOP 1
#define START 2

/* Guest memory */
byte avail[SIZE], avail_index = 0;
byte used[SIZE], used_index = 0;
byte buffer[SIZE]; /* the number of the frame in it */

/* The driver's private state */
bool in_flight[SIZE];
byte back = 0;

/* The kernel, QEMU, the journal */
byte request = NOTHING;
byte saved = 0;
bool stopped = false; /* the stop was answered */
bool ready = true;    /* the kernel's state: true once a start is answered */
bool runs = true;     /* in the journal */
byte position = 0;    /* in the journals of faults 1 and 2 */

bool delivered[CHAINS];
byte pending = 0; /* frames that are published but not delivered yet */
byte lost = 0;
byte deaths = 0;
bool kill = false;

proctype driver() {
    byte sent = 0, seen = 0, id;
    do
    :: back == CHAINS -> break
    :: sent < CHAINS && sent - back < SIZE ->
        atomic {
            if
            :: !in_flight[0] -> id = 0
            :: !in_flight[1] -> id = 1
            fi;
            in_flight[id] = true;
            buffer[id] = sent;
            avail[sent % SIZE] = id;
            id = 0
        }
        sent++;
        avail_index = sent
    :: used_index != seen ->
        atomic {
            assert(used_index - seen <= sent - back);
            id = used[seen % SIZE];
            assert(id < SIZE && in_flight[id]);
            in_flight[id] = false;
            seen++;
            back++;
            id = 0
        }
    od;
    pending == 0;
    atomic { /* each frame is delivered or lost */
        do
        :: id < CHAINS -> lost = lost + delivered[id]; id++
        :: else -> break
        od;
        assert(lost == CHAINS)
    }
}

inline store_element(which) {
    assert(ready && !stopped);
    used[(next_used + which) % SIZE] = head[which]
}

inline store_index(value) {
    assert(ready && !stopped);
    atomic { used_index = value; pending = count }
}

inline deliver() {
    atomic {
        i = 0;
        do
        :: i < count -> assert(!delivered[frame[i]]); delivered[frame[i]] = true; i++
        :: else -> break
        od;
        i = 0;
        pending = 0
    }
}

inline burst() {
    /* the burst takes one or two chains, at most those available */
    count = 1;
    if
    :: avail_index - next_avail > 1 -> count = 2
    :: true
    fi;
    i = 0;
    do
    :: i < count ->
        head[i] = avail[(next_avail + i) % SIZE];
        atomic {
            assert(head[i] < SIZE && in_flight[head[i]]);
            frame[i] = buffer[head[i]]; /* or stores to it */
            i++
        }
    :: else -> break
    od;
#if FAULT == 7
    if
    :: request == STOP -> answer_stop(next_avail)
    :: else
    fi;
#endif
#if FAULT == 9
    deliver();
#endif
#if FAULT == 1
    position = next_avail + count;
#endif
#if FAULT == 3
    store_index(next_used + count);
#endif
#if FAULT == 5
    if
    :: count == 2 -> i = head[0]; head[0] = head[1]; head[1] = i; store_element(0); store_index(next_used + 1)
    :: else
    fi;
#endif
    i = 0;
    do
    :: i < count -> store_element(i); i++
    :: else -> break
    od;
#if FAULT != 3
    store_index(next_used + count);
#endif
#if FAULT == 2
    position = next_avail + count;
#endif
    next_avail = next_avail + count;
    next_used = next_used + count;
#if FAULT != 9
    deliver();
#endif
    forget()
}

inline forget() {
    atomic { count = 0; i = 0; pending = 0; head[0] = 0; head[1] = 0; frame[0] = 0; frame[1] = 0 }
}

inline answer_stop(where) {
    runs = false;
    atomic { saved = where; stopped = true; request = NOTHING }
}

inline adopt() {
#if FAULT == 1 || FAULT == 2
    next_avail = position;
#elif FAULT == 4
    next_avail = avail_index;
#elif FAULT == 6
    next_avail = saved;
#else
    next_avail = used_index;
#endif
#if FAULT == 1 || FAULT == 2
    next_used = position;
#elif FAULT == 8
    next_used = 0;
#else
    next_used = used_index;
#endif
#if FAULT == 11
    running = ready
#elif FAULT == 12
    running = runs
#else
    running = runs && ready
#endif
}

inline serve() {
    adopt();
end:
    do
    :: running && avail_index != next_avail -> burst()
    :: request == STOP ->
        running = false;
#if FAULT == 10
        answer_stop(avail_index)
#else
        answer_stop(next_avail)
#endif
    :: request == START ->
        next_avail = saved;
        next_used = used_index;
        runs = true;
        atomic { ready = true; request = NOTHING };
        running = true
    od
}

proctype device() {
    byte next_avail, next_used, head[2], frame[2], count, i;
    bool running;
    do
    :: { serve() } unless { atomic { kill -> kill = false; lost = lost + pending; forget() } }
    od
}

proctype killer() {
    do
    :: deaths < DEATHS -> atomic { deaths++; kill = true }; !kill
    :: true -> break
    od
}

proctype qemu() {
    byte stops = 0;
    do
    :: stops < STOPS ->
        stops++;
        request = STOP;
        request == NOTHING;
        assert(saved == used_index);
        atomic { ready = false; stopped = false }; /* a reset */
        request = START;
        request == NOTHING
    :: true -> break
    od
}

init {
    atomic {
        used[0] = NOBODY;
        used[1] = NOBODY;
        run driver();
        run device();
        run killer();
        run qemu()
    }
}
