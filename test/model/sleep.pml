/* SPDX-License-Identifier: BSD-3-Clause */

/* Sleeping (lib/include/vduse/device.h: arm_from_guest): a data thread without work waits for the
 * guest driver's kick.
 *
 * The memory model is TSO, as on x86: stores of the data thread and of the driver wait in store
 * buffers and become visible at any later time. A fence empties the buffer of the thread that
 * executes it. Control's stores are sequentially consistent. The kernel forwards kicks while the
 * queue is ready and has an eventfd; other kicks are lost. With the event index (chosen at the
 * start) the driver kicks when it passes that index; without it, when the flag allows.
 *
 * Property: no deadlock. The data thread ends when it has seen all chains. If it sleeps forever
 * although a chain is available, and driver and control have finished, the end state is invalid.
 *
 * Faults (-DFAULT=n), each of which must be found:
 *   1  the avail index is not checked again after arming
 *   2  the last check comes before arming
 *   3  no fence between arming and the last check
 *   4  the eventfd is read between the last check and the sleep
 *   5  a queue is started without a wake-up
 *   6  control wakes the data thread before it opens the gate
 *   7  control suppresses kicks after it has woken the data thread
 *   8  the eventfd is not given to the kernel again after a reset
 *   9  the data thread arms without entering the gate
 *   10  the driver has no fence between adding the chain and reading the device's kick suppression
 */
#ifndef FAULT
#define FAULT 0
#endif
#define CHAINS 3
#define RESTARTS 2

#define AVAIL 0
#define WISH 1
#define BUSY 2

byte memory[3];    /* avail index; flag (1: kick) or event index; busy of the gate */
chan data_buffer = [4] of { byte, byte };
chan driver_buffer = [2] of { byte, byte };
bool event_index;
bool open = false;
bool ready = false;  /* the kernel forwards kicks */
bool given = false;  /* ... and has the eventfd */
bool stopped = true; /* the ring's memory must not be written */
bool readable = false;
byte taken = 0;

/* Reading one's own buffered stores is not modelled: no thread reads back what it wrote. */
proctype flush(chan buffer) {
    byte where, value;
end:
    do
    :: atomic { buffer ? where, value -> memory[where] = value; where = 0; value = 0 }
    od
}

inline fence(buffer) {
    atomic {
        do
        :: buffer ? where, value -> memory[where] = value
        :: empty(buffer) -> break
        od;
        where = 0;
        value = 0
    }
}

inline wish(kick) {
    assert(!stopped);
    if
    :: event_index && kick -> data_buffer ! WISH, taken
    :: event_index && !kick -> data_buffer ! WISH, taken - 1
    :: else -> data_buffer ! WISH, kick
    fi
}

inline enter() {
    data_buffer ! BUSY, 1;
    entered = open;
    if
    :: !entered -> data_buffer ! BUSY, 0
    :: else
    fi
}

inline leave() {
    data_buffer ! BUSY, 0
}

inline poll() {
    enter();
    if
    :: entered ->
        taken = memory[AVAIL];
        leave()
    :: else
    fi
}

proctype data() {
    byte where, value, seen;
    bool entered, work;
    do
    :: taken == CHAINS -> break
    :: else ->
        seen = taken;
        poll();
        if
        :: taken != seen
        :: else ->
            work = false;
            enter();
#if FAULT == 9
            wish(1);
#endif
            if
            :: entered ->
#if FAULT == 2
                work = memory[AVAIL] != taken;
#endif
#if FAULT != 9
                wish(1);
#endif
#if FAULT != 3
                fence(data_buffer);
#endif
#if FAULT != 1 && FAULT != 2
                work = memory[AVAIL] != taken;
#endif
                if
                :: work -> wish(0)
                :: else
                fi;
                leave()
            :: else
            fi;
#if FAULT == 4
            readable = false;
#endif
            if
            :: work
            :: else ->
                readable; /* sleeps until the eventfd is readable */
                readable = false;
                enter();
                if
                :: entered ->
                    wish(0);
                    leave()
                :: else
                fi
            fi
        fi
    od
}

proctype driver() {
    byte where, value, sent = 0, before;
    bool kick;
    do
    :: sent == CHAINS -> break
    :: sent < CHAINS ->
        before = sent;
        sent++;
        if
        :: sent < CHAINS -> sent++ /* two at once */
        :: true
        fi;
        driver_buffer ! AVAIL, sent;
#if FAULT != 10
        fence(driver_buffer);
#endif
        if
        :: event_index -> kick = ((sent - memory[WISH] - 1) & 255) < ((sent - before) & 255)
        :: else -> kick = memory[WISH]
        fi;
        if
        :: atomic { kick && ready && given -> readable = true }
        :: else
        fi
    od;
    fence(driver_buffer)
}

inline membarrier() {
    fence(data_buffer)
}

inline start() {
#if FAULT == 8
    given = given || starts == 0;
#else
    given = true;
#endif
    stopped = false;
#if FAULT != 7
    refuse_kicks();
#endif
#if FAULT == 6
    readable = true;
#endif
    open = true;
#if FAULT != 5 && FAULT != 6
    readable = true;
#endif
#if FAULT == 7
    refuse_kicks();
#endif
    starts++
}

inline refuse_kicks() {
    if
    :: event_index -> memory[WISH] = taken - 1
    :: else -> memory[WISH] = 0
    fi
}

proctype control() {
    byte where, value, starts = 0;
    ready = true; /* the driver's earlier kicks are lost */
    start();
    do
    :: starts <= RESTARTS ->
        open = false;
        membarrier();
        memory[BUSY] == 0;
        stopped = true;
        if
        :: ready = false; /* a reset: kicks until the next start are lost */
           given = false;
           ready = true
        :: true /* a change of memory, or a stop */
        fi;
        start()
    :: true -> break
    od
}

init {
    atomic {
        if
        :: event_index = true; memory[WISH] = 255
        :: memory[WISH] = 1 /* the driver's initial value */
        fi;
        run flush(data_buffer);
        run flush(driver_buffer);
        run data();
        run driver();
        run control()
    }
}
