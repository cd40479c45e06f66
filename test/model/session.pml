/* SPDX-License-Identifier: BSD-3-Clause */

/* A session (lib/device/session.h): the kernel sends requests, one control thread answers them, and
 * a data thread serves a queue. The process may be killed at any step; then another one adopts the
 * device (lib/device/adopt.cc).
 *
 * The kernel has two concurrent callers, so resets, suspends and updates of address spaces race
 * with each other. It repeats a request that was read but not answered. The queue belongs to a
 * group, which is in one of two spaces. The gate is modelled only by its effect; gate.pml models
 * its protocol, and restart.pml models the ring.
 *
 * Properties:
 *  - A data thread touches only memory that is mapped and was not given away by an answer. While no
 *    request is pending, that memory is the one in the group's space.
 *  - Nothing is written to a ring that is suspended or not ready, and positions equal the used
 *    index.
 *  - Each request is answered once, in order (else: a deadlock).
 *  - When no request is pending, session and kernel agree, and the queue runs exactly if it should.
 *  - If a data thread does not leave in time, the answer is FAILED. Even then the thread touches
 *    only mapped memory.
 *
 * Faults (-DFAULT=n), each of which must be found:
 *   1  the answer comes before the data thread has left
 *   2  memory is unmapped although a data thread did not leave in time and is still inside
 *   3  the journal is written after the answer
 *   4  a reset forgets that the device is suspended
 *   5  a queue runs while the ring is not mapped
 *   6  the next process starts from the position that the driver's side set
 *   7  a suspend is not written to the journal
 *   8  a group moves under a running queue
 *   9  the next process treats a request that the last one had read as answered
 *   10  a reset is answered before earlier requests
 *   11  the answer is OK although the data thread is inside
 *   12  a position is answered while the queue runs
 *   13  DRIVER_OK does not start a queue that became ready before it
 *   14  the next process does not map the spaces
 *   15  a queue is started before the kernel reports it ready
 *   16  a request that failed is recorded as done
 */
#ifndef FAULT
#define FAULT 0
#endif
#define CYCLES 2  /* of the driver's side: from reset to reset */
#define CHANGES 1 /* of memory and spaces, by the other caller */
#define BURSTS 2
#define DEATHS 1
#define NONE 3 /* no memory */

mtype = { NOTHING, RESET, DRIVER_OK, READY, UPDATE, MOVE, SUSPEND, POSITION };

/* The kernel and its callers. Caller 0 is the driver's side, caller 1 changes memory. */
chan waiting = [2] of { mtype, byte, byte }; /* request, space, caller */
chan order = [2] of { byte };
mtype reading = NOTHING; /* the request that was read and is not answered yet */
byte reading_what, reading_who;
bool asked[2], accepted[2];
byte given_up[2] = NONE; /* the memory that an answer to this caller gives away */
byte space[2] = NONE;
bool gone[4]; /* NONE included */
bool k_driver_ok = false, k_ready = false, k_suspended = false;
bit k_asid = 0;
byte base = 0, used = 0;
bool in_time = true; /* no data thread has ever been too late */

/* The process: control */
bool driver_ok = false, ready = false, suspended = false;
bit asid = 0;
bool running = false, started = false, adopted = false;
byte view[2] = NONE;
byte lingering = NONE;
bool mapped[4];
byte position = 0;
byte ring = NONE; /* the memory that the queue started with */
bool again = false; /* the queue should run but could not be started */
bool late; /* the last stop timed out */

/* The gate, the data thread */
bool open = false, busy = false;

/* The journal */
bool j_driver_ok = false, j_ready = false, j_suspended = false;
bit j_asid = 0;

byte deaths = 0;
bool kill_control = false, kill_data = false;

#define should_run(s) (driver_ok && ready && !suspended && view[s] != NONE)

/* ---- data thread */

inline touch() {
    assert(mapped[memory]);
    assert(!in_time || (!gone[memory] && (memory == space[k_asid] || asked[0] || asked[1])))
}

inline work() {
end:
    do
    :: atomic { bursts < BURSTS && open -> bursts++; busy = true; memory = ring; touch() };
        atomic {
            assert(!in_time || (k_ready && !k_suspended && position == used));
            used++
        };
        atomic { touch(); position++; memory = 0; busy = false }
    od
}

proctype data() {
    byte memory = 0, bursts = 0;
end_again:
    do
    :: { work() } unless { atomic { kill_data -> kill_data = false; memory = 0 } }
    od
}

/* ---- control */

inline stop() {
    open = false;
    running = false;
#if FAULT != 1
    if
    :: !busy
    :: busy -> late = true; in_time = FAULT == 11
    fi
#endif
}

inline unmap(m) {
    if
    :: m == NONE
#if FAULT == 2
    :: m != NONE -> mapped[m] = false
#else
    :: m != NONE && !busy -> mapped[m] = false
    :: m != NONE && busy -> lingering = m
#endif
    fi
}

inline map(s) {
    if
    :: view[s] != space[s] ->
        unmap(view[s]);
        view[s] = space[s];
        if
        :: view[s] != NONE -> mapped[view[s]] = true
        :: else
        fi
    :: else
    fi
}

inline act() {
    if
    :: reading == RESET ->
        driver_ok = false;
        ready = false;
#if FAULT != 4
        suspended = false;
#endif
        asid = 0;
        started = false;
        adopted = false;
        position = 0;
        ring = NONE;
        unmap(view[0]);
        unmap(view[1]);
        view[0] = NONE;
        view[1] = NONE
    :: reading == DRIVER_OK -> driver_ok = true
    :: reading == READY -> ready = true; adopted = false
    :: reading == UPDATE -> map(reading_what)
    :: reading == MOVE -> asid = reading_what
    :: reading == SUSPEND -> suspended = true
    :: reading == POSITION
    fi
}

/* The queue runs and must stop for this request. */
#define must_stop \
    (running && (reading == RESET || reading == SUSPEND || (reading == UPDATE && reading_what == asid) || \
        (FAULT != 8 && reading == MOVE && reading_what != asid) || (FAULT != 12 && reading == POSITION)))

inline remember() {
    d_step {
        j_driver_ok = driver_ok;
        j_ready = ready;
        j_asid = asid;
#if FAULT != 7
        j_suspended = suspended
#endif
    }
}

inline answer() {
    atomic {
        assert(order ? [eval(reading_who)]);
        order ? _;
        assert(asked[reading_who]);
        accepted[reading_who] = !late || FAULT == 11;
        if
        :: reading == RESET ->
            k_driver_ok = false;
            k_ready = false;
            k_suspended = false;
            k_asid = 0;
            i = 0;
            do
            :: i < 2 ->
                if
                :: space[i] != NONE -> gone[space[i]] = true; space[i] = NONE
                :: else
                fi;
                i++
            :: else -> break
            od;
            i = 0
        :: reading == DRIVER_OK -> k_driver_ok = true
        :: reading == READY -> k_ready = true
        :: reading == MOVE && accepted[reading_who] -> k_asid = reading_what
        :: reading == SUSPEND && accepted[reading_who] -> k_suspended = true
        :: reading == POSITION && accepted[reading_who] ->
            assert(!in_time || (started -> position : (adopted -> used : base)) == used)
        :: else
        fi;
        /* unless the memory was mapped again meanwhile */
        gone[given_up[reading_who]] = given_up[reading_who] != space[0] && given_up[reading_who] != space[1];
        asked[reading_who] = false;
        reading = NOTHING;
        reading_what = 0;
        reading_who = 0;
        late = false
    }
}

inline handle() {
#if FAULT == 13
    what = reading;
#endif
    if
    :: must_stop -> stop()
    :: else
    fi;
    atomic {
#if FAULT != 16
        if
        :: late && FAULT != 11 && reading != RESET && reading != UPDATE
        :: else -> act()
        fi;
#else
        act();
#endif
#if FAULT != 3
        remember()
#endif
    };
    answer();
#if FAULT == 3
    remember();
#endif
}

#if FAULT == 5
#define wanted (driver_ok && ready && !suspended && k_ready)
#elif FAULT == 15
#define wanted should_run(asid)
#else
#define wanted (should_run(asid) && k_ready)
#endif

inline reconcile() {
    again = should_run(asid) && !running && (busy || !k_ready);
    if
    :: wanted && !running && !busy -> start()
    :: else
    fi
}

inline start() {
    if
    :: started
#if FAULT == 6
    :: !started -> position = base
#else
    :: !started && adopted -> position = used
    :: !started && !adopted -> position = base
#endif
    fi;
    started = true;
    ring = view[asid];
    running = true;
    open = true
}

inline adopt() {
    driver_ok = j_driver_ok;
    ready = j_ready;
    suspended = j_suspended;
    asid = j_asid;
    adopted = ready;
#if FAULT != 14
    map(0);
    map(1);
#endif
#if FAULT == 9
    reading = NOTHING;
#endif
    reconcile()
}

inline serve() {
    atomic { adopt(); agree() };
end:
    do
    :: atomic {
           reading == NOTHING && nempty(waiting) ->
#if FAULT == 10
           if
           :: waiting ?? [RESET, _, _] -> waiting ?? RESET, reading_what, reading_who; reading = RESET
           :: else -> waiting ? reading, reading_what, reading_who
           fi
#else
           waiting ? reading, reading_what, reading_who
#endif
       }
    :: reading != NOTHING ->
        handle();
        atomic {
#if FAULT == 13
            if
            :: what == DRIVER_OK -> what = NOTHING
            :: else -> reconcile()
            fi;
#else
            reconcile();
#endif
            agree()
        }
    :: atomic { again && !busy && k_ready && reading == NOTHING -> reconcile(); agree() }
    :: atomic {
           lingering != NONE && !busy ->
           mapped[lingering] = (lingering == view[0] || lingering == view[1]);
           lingering = NONE
       }
    od
}

/* Holds when no request is pending. */
inline agree() {
    assert(asked[0] || asked[1] ||
           (driver_ok == k_driver_ok && ready == k_ready && suspended == k_suspended && asid == k_asid &&
            view[0] == space[0] && view[1] == space[1] && (running || again || !should_run(asid))))
}

/* The process's state is lost, and both threads start from the beginning. */
inline die() {
    d_step {
        deaths++;
        kill_control = true;
        kill_data = true;
        driver_ok = false; ready = false; suspended = false; asid = 0;
        running = false; started = false; adopted = false; open = false; busy = false;
        view[0] = NONE; view[1] = NONE; lingering = NONE;
        mapped[0] = false; mapped[1] = false; mapped[2] = false;
        position = 0; ring = NONE; again = false; late = false
    }
}

proctype control() {
    byte i = 0;
#if FAULT == 13
    mtype what;
#endif
    do
    :: { serve() } unless { atomic { kill_control -> kill_control = false; i = 0 } }
    od
}

proctype killer() {
end:
    do
    :: deaths < DEATHS -> die(); !kill_control
    od
}

/* ---- callers */

inline ask(what, which, who) {
    atomic { asked[who] = true; waiting ! what, which, who; order ! who };
    !asked[who]
}

/* Space `s` now has memory `m`. The answer gives its earlier memory away. */
inline map_memory(s, m, who) {
    atomic {
        given_up[who] = space[s];
        space[s] = m;
        gone[m] = false;
        asked[who] = true;
        waiting ! UPDATE, s, who;
        order ! who
    };
    atomic { !asked[who] -> given_up[who] = NONE }
}

proctype driver_side() {
    byte cycle = 0;
    do
    :: cycle < CYCLES ->
        cycle++;
        ask(RESET, 0, 0);
        atomic { /* a new ring, or the old one from its last position */
            if
            :: used = 0
            :: true
            fi;
            base = used
        };
        map_memory(0, 0, 0);
        if
        :: true -> ask(READY, 0, 0); ask(DRIVER_OK, 0, 0)
        :: true -> ask(DRIVER_OK, 0, 0); ask(READY, 0, 0)
        fi;
        if
        :: true -> ask(SUSPEND, 0, 0); ask(POSITION, 0, 0)
        :: true -> ask(POSITION, 0, 0)
        :: true
        fi
    :: else -> break
    od
}

proctype others() {
    byte changes = 0;
    do
    :: changes < CHANGES ->
        changes++;
        if
        :: space[0] == 0 -> map_memory(0, 1, 1)
        :: space[0] != NONE -> map_memory(0, NONE, 1)
        :: space[1] == NONE -> map_memory(1, 2, 1)
        :: true -> ask(MOVE, 1 - k_asid, 1)
        fi
    :: else -> break
    od
}

init {
    atomic {
        run data();
        run control();
        run killer();
        run driver_side();
        run others()
    }
}
