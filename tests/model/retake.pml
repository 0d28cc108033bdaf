// Taking the P back from user code without a signal: RK1-RK5 of runtime/sched/retake.h, UC1 and UC5 of upcross.h, with SC2's
// stop-the-world as the second requester.
//
// What must hold, whatever the interleaving:
//   - a P is used by one M at a time, and an M that goes on in the runtime has one;
//   - while the world is stopped nobody is inside;
//   - who was inside when a stopper looked acts on the stop bit at his exit (RK4);
//   - when nothing can move any more each P is idle or held, and no G waits beside an idle P.
//
//   process / label      stands for
//   M                    a thread, and the goroutine on it
//     out, enter         user code; runtime_call's constructor
//     enter_slow         runtime_call_enter_slow, retake_wait, reattach, exitsyscall (take_idle, exitsyscall0)
//     inside             between the two ends of a runtime_call: uses the P
//     leave, leave_slow  leave_runtime, runtime_call_leave_slow
//     give_back          runtime_call_give_back: entersyscall, rt_outside
//     yield              gosched, schedule, gcstopm; without work give_up_p and stopm
//   sysmon               takings::want, retake_fence, take_p; startm_reserved and unreserve_m
//   stopper              stop_the_world and start_the_world with return_ps, from a P of its own that is not in this model
//   memory               store buffers: lets a store of inrt be seen, any time later
//
// Memory: inrt is stored plainly, so it goes to M's store buffer (two stores deep) and `memory` lets it out; all else M does with
// retake is a load, which does not wait for the buffer, or a locked instruction, which does.  membarrier drains the buffer of one M
// after the other, each at a time of its own: that is what RK1 takes from it.
//
// Simplified, and why nothing is lost by it:
//   - sections under sched.lock are one step; so are the loops around a compare-and-swap;
//   - the scheduler between two Gs: an M that leaves a G takes another from the one queue or idles its P, in one step (the
//     protocol of sleeping and waking is wakeup.pml);
//   - whose P is taken, and when, is sysmon's whim: any M at any time (judge() only decides when it is worth it);
//   - rt_waiting and the futex are a wait for the phase (the futex compares the word); rt_preempt is rt_stop without the world;
//     rt_fence, rt_hog, rt_exiting are left out;
//   - a round of sysmon wants one M, so RK6 has nothing to do here.
//
// -DMUTATE=n breaks one thing; spin must find each:
//   1  no membarrier
//   2  the requester reads inrt before the membarrier
//   3  M reads retake before it stores inrt (no compiler barrier)
//   4  the exit does not look at retake
//   5  taken is published before the books
//   6  requesters do not take retakelock
//   7  M does not wait while the phase is taking
//   8  taking is not looked through again (RK5)
//   9  a P is handed on before M has lost it
//   10 M ends the phase taken and goes on without looking for a P
//   11 the requester takes the P without turning wanted to taking
//   12 M ends the phase taken though it is taking by now
//   13 the P is returned without turning taken to taking
//   14 M is let go on before it has its P again
#ifndef MUTATE
#define MUTATE 0
#endif
#ifndef NM
#define NM 2
#endif
#ifndef NP
#define NP 1
#endif
#ifndef CALLS
#define CALLS 2   // entries into the runtime, of all Ms
#endif
#ifndef ROUNDS
#define ROUNDS 2  // sysmon's
#endif
#ifndef STOPS
#define STOPS 1
#endif
#define NONE 15

#define none 0
#define wanted 1
#define taking 2
#define taken 3

byte phase[NM];     // m.retake & rt_phase
bool stop[NM];      // rt_stop
bool outside[NM];   // rt_outside
bool inrt[NM];      // as others see it
byte nbuf[NM];      // M's store buffer: stores of inrt that are not out yet, the oldest in the lowest bit
byte buf[NM];
bool owes[NM];      // a stopper has seen M inside, so M owes it a yield

byte P[NM];         // m.pp
byte oldp[NM];
byte nextp[NM];
bool note[NM];
bool running[NM];   // m.curg is there, and its status is running
bool detached[NM];  // or detached
bool using[NM];     // M is inside and uses its P
byte holder[NP];    // p.mp
byte pst[NP];       // p.status
#define pidle 0
#define prunning 1
#define psyscall 2
#define pgcstop 3
bool onlist[NP];    // the P is on sched.pidle
byte from[NP];      // p.stopped
bool midle[NM];     // the M is on sched.midle
byte queue;         // Gs in the global queue
bool gcwaiting;
byte stopwait;
bool retakelock;

byte calls = CALLS, rounds = ROUNDS, stops = STOPS;

inline drain(x) {
    if
    :: nbuf[x] == 1 -> inrt[x] = buf[x] & 1
    :: nbuf[x] == 2 -> inrt[x] = buf[x] >> 1
    :: else
    fi;
    nbuf[x] = 0; buf[x] = 0
}
inline decline() { atomic { drain(me); phase[me] = (phase[me] == wanted -> none : phase[me]) } }
inline store_inrt(v) { atomic { nbuf[me] < 2 -> buf[me] = buf[me] | (v << nbuf[me]); nbuf[me]++ } }

inline acquirep(p) {
    assert(P[me] == NONE && holder[p] == NONE && pst[p] == pidle && !onlist[p]);  // wirep
    P[me] = p; holder[p] = me; pst[p] = prunning
}
inline pidleget(p) {
    if
    :: onlist[0] -> p = 0
#if NP > 1
    :: !onlist[0] && onlist[1] -> p = 1
    :: !onlist[0] && !onlist[1] -> p = NONE
#else
    :: !onlist[0] -> p = NONE
#endif
    fi;
    if
    :: p != NONE -> onlist[p] = false
    :: else
    fi
}

proctype M(byte me) {
    byte p = NONE, r;

    if
    :: P[me] != NONE -> goto inside
    :: else -> goto asleep
    fi;

out:  // user code
    if
    :: atomic { calls > 0 -> calls-- }
    :: goto forever
    fi;
#if MUTATE == 3
    r = phase[me] | (outside[me] << 2) | (stop[me] << 3);
    store_inrt(1);
#else
    store_inrt(1);
    r = phase[me] | (outside[me] << 2) | (stop[me] << 3);
#endif
    if
    :: r == 0 -> goto inside
    :: else -> r = 0
    fi;
enter_slow:
    if
    :: phase[me] == wanted -> decline(); goto enter_slow
#if MUTATE == 7
    :: phase[me] == taking -> goto inside
#else
    :: phase[me] == taking -> phase[me] != taking; goto enter_slow  // retake_wait
#endif
    :: phase[me] == taken ->  // reattach
        atomic {
            drain(me);
            if
#if MUTATE != 12
            :: phase[me] != taken -> goto enter_slow
#endif
            :: else -> phase[me] = none
            fi
        }
#if MUTATE == 10
        goto inside
#endif
    :: phase[me] == none && outside[me] -> atomic { drain(me); outside[me] = false }
    :: phase[me] == none && !outside[me] -> goto inside
    fi;
    // exitsyscall
    atomic {
        drain(me); p = oldp[me]; oldp[me] = NONE;
        if
        :: p != NONE && pst[p] == psyscall && !gcwaiting -> pst[p] = pidle  // SY1
        :: else -> p = NONE
        fi
    };
    atomic {
        if
        :: p == NONE && !gcwaiting -> pidleget(p)  // take_idle and exitsyscall0
        :: else
        fi;
        if
        :: p == NONE -> queue++; running[me] = false; detached[me] = false; goto stopm
        :: else -> acquirep(p); p = NONE; running[me] = true; detached[me] = false; goto enter_slow
        fi
    };

inside:
    atomic {
        assert(P[me] != NONE && holder[P[me]] == me && pst[P[me]] == prunning);
        using[me] = true
    };
    atomic {
        assert(P[me] != NONE && holder[P[me]] == me && pst[P[me]] == prunning);
        using[me] = false
    };
    if
    :: goto leave
    :: goto give_back
    fi;

leave:
    store_inrt(0);
#if MUTATE == 4
    goto back;
#endif
    if
    :: phase[me] == none && !stop[me] && !outside[me] -> goto back
    :: else
    fi;
leave_slow:
    store_inrt(1);
    r = phase[me] | (outside[me] << 2) | (stop[me] << 3);  // read_retake
    if
    :: (r & 3) == wanted -> decline(); goto leave_slow
    :: r == 8 -> atomic { drain(me); stop[me] = false; owes[me] = false; r = 0 }; goto yield
    :: else
    fi;
    store_inrt(0);
    if
    :: r == (phase[me] | (outside[me] << 2) | (stop[me] << 3)) -> r = 0
    :: else -> r = 0; goto leave_slow
    fi;
back:
    assert(!owes[me] || phase[me] != none);  // RK4
    goto out;

give_back:  // entersyscall: the store of psyscall is seq_cst
    atomic {
        drain(me); p = P[me]; holder[p] = NONE; oldp[me] = p; P[me] = NONE; running[me] = false; pst[p] = psyscall; owes[me] = false
    };
    atomic {
        if
        :: gcwaiting && pst[p] == psyscall -> pst[p] = pgcstop; stopwait--
        :: else
        fi;
        p = NONE
    };
    atomic { drain(me); outside[me] = true };
    store_inrt(0);
    goto out;

yield:  // the G to the queue, then schedule()
    atomic { queue++; running[me] = false };
schedule:
    atomic {
        p = P[me];
        assert(p != NONE && holder[p] == me && pst[p] == prunning);
        if
        :: gcwaiting ->  // gcstopm
            P[me] = NONE; holder[p] = NONE; pst[p] = pgcstop; stopwait--; p = NONE; goto stopm
        :: !gcwaiting && queue > 0 -> queue--; running[me] = true; p = NONE; goto leave_slow
        :: !gcwaiting && queue == 0 -> P[me] = NONE; holder[p] = NONE; pst[p] = pidle; onlist[p] = true; p = NONE; goto stopm
        fi
    };
stopm:
    atomic { assert(P[me] == NONE); midle[me] = true };
asleep:
end_asleep:
    atomic {
        note[me] -> note[me] = false;
        assert(nextp[me] != NONE && !midle[me] && inrt[me]);
        acquirep(nextp[me]); nextp[me] = NONE; goto schedule
    };
forever:
end_forever:
    false
}

// ---- a requester, holding retakelock
inline want(x, bits) {
    atomic {
        stop[x] = stop[x] || bits;
        if
        :: phase[x] == none -> phase[x] = wanted; round[x] = true
        :: else
        fi
    }
}
inline fence() {
    x = 0;
    do
    :: x < NM -> atomic { drain(x); x++ }
    :: else -> break
    od;
    x = 0
}
// p: what retake_begin returns for x.
inline begin(x, saw) {
    p = NONE;
    if
#if MUTATE == 2
    :: saw
#else
    :: inrt[x]
#endif
        -> atomic {
            owes[x] = owes[x] || stop[x];
            if
            :: phase[x] == wanted -> phase[x] = none
            :: else
            fi
        }
    :: else ->
        atomic {
            if
#if MUTATE == 11
            :: true -> p = P[x]
#else
            :: phase[x] == wanted -> phase[x] = taking; p = P[x]
#endif
            :: else -> goto next
            fi
        };
#if MUTATE != 8
        atomic {
            if
            :: p == NONE || !running[x] -> phase[x] = none; p = NONE  // RK5
            :: else
            fi
        }
#endif
    fi
}
inline finish(x, to) { atomic { phase[x] = to } }
// to: what the P's status becomes.
inline detach(x, to) {
#if MUTATE == 5
    finish(x, taken);
#endif
    atomic { running[x] = false; detached[x] = true };
    oldp[x] = p;
    P[x] = NONE;
    holder[p] = NONE;
    pst[p] = to;
#if MUTATE != 5
    finish(x, taken)
#endif
}
// retake_return of p to y.
inline give_back(y) {
    atomic {
        if
#if MUTATE == 13
        :: true -> x = y
#else
        :: phase[y] == taken -> phase[y] = taking; x = y
#endif
        :: else -> x = NONE; pst[p] = pidle; onlist[p] = true
        fi
    };
    if
    :: x == NONE
    :: else ->
#if MUTATE == 14
        finish(x, none);
#endif
        atomic { assert(detached[x]); detached[x] = false; running[x] = true };  // casgstatus
        oldp[x] = NONE;
        P[x] = p;
        holder[p] = x;
        pst[p] = prunning;
        atomic { stop[x] = false; owes[x] = false };
        finish(x, none)
    fi;
    x = 0
}
inline lock() { atomic { MUTATE == 6 || !retakelock -> retakelock = true } }
inline unlock() { retakelock = false }

inline handoff_syscall() {
    atomic {  // SY1
        if
        :: pst[0] == psyscall -> p = 0; pst[0] = pidle
#if NP > 1
        :: pst[1] == psyscall -> p = 1; pst[1] = pidle
#endif
        :: else
        fi
    };
    atomic {  // handoffp_locked
        if
        :: p == NONE
        :: p != NONE && gcwaiting -> pst[p] = pgcstop; stopwait--
        :: p != NONE && !gcwaiting -> onlist[p] = true
        fi;
        p = NONE
    }
}

proctype sysmon() {
    byte x, p = NONE, heir = NONE;
    bool round[NM], seen;

end_sysmon:
    do
    :: atomic { rounds > 0 -> rounds-- };
        lock();
        // round::add: an M with a P, and an heir for it
        if
        :: P[0] != NONE -> x = 0
        :: P[1] != NONE -> x = 1
        :: else -> goto over
        fi;
        atomic {  // reserve_m
            if
            :: midle[0] -> heir = 0; midle[0] = false
            :: midle[1] -> heir = 1; midle[1] = false
#if NM > 2
            :: midle[2] -> heir = 2; midle[2] = false
#endif
            :: else -> goto over
            fi
        };
        want(x, false);
        if
        :: round[x]
        :: else -> goto next
        fi;
#if MUTATE == 2
        seen = inrt[x];
#endif
#if MUTATE != 1
        p = x; fence(); x = p; p = NONE;
#endif
        begin(x, seen);
        if
        :: p == NONE
        :: else ->
#if MUTATE == 9
            atomic { nextp[heir] = p; note[heir] = true; pst[p] = pidle; holder[p] = NONE; heir = NONE };
#endif
            detach(x, pidle);
#if MUTATE != 9
            atomic {  // startm_reserved
                assert(nextp[heir] == NONE && !note[heir]);
                nextp[heir] = p; note[heir] = true; heir = NONE
            }
#endif
        fi;
next:
        atomic {
            round[0] = false; round[1] = false;
            if
            :: heir != NONE -> midle[heir] = true  // unreserve_m
            :: else
            fi
        };
over:
        atomic { x = 0; p = NONE; heir = NONE; seen = false };
        unlock()
    :: atomic { rounds > 0 -> rounds-- };  // retake_syscall, and handoffp: idle, or stopped
        handoff_syscall()
    :: atomic { queue > 0 && onlist[0] && midle[0] -> onlist[0] = false; midle[0] = false; nextp[0] = 0; note[0] = true }  // WK
    :: atomic { queue > 0 && onlist[0] && midle[1] -> onlist[0] = false; midle[1] = false; nextp[1] = 0; note[1] = true }
#if NP > 1
    :: atomic { queue > 0 && onlist[1] && midle[0] -> onlist[1] = false; midle[0] = false; nextp[0] = 1; note[0] = true }
    :: atomic { queue > 0 && onlist[1] && midle[1] -> onlist[1] = false; midle[1] = false; nextp[1] = 1; note[1] = true }
#endif
    :: queue > 0 && pst[0] == psyscall -> handoff_syscall()
#if NP > 1
    :: queue > 0 && pst[1] == psyscall -> handoff_syscall()
#endif
    od
}

// stop_the_world and start_the_world, on a P of its own.
proctype stopper() {
    byte x, p = NONE;
    bool round[NM], seen;

end_stops:
    do
    :: atomic {
            stops > 0 -> stops--;
            gcwaiting = true; stopwait = NP;
        };
        atomic {  // stop_quiet_ps
            for (x : 0 .. NP - 1) {
                if
                :: pst[x] == psyscall || onlist[x] -> pst[x] = pgcstop; onlist[x] = false; stopwait--
                :: else
                fi
            };
            x = 0
        };
again:
        if
        :: stopwait == 0 -> goto stopped
        :: else
        fi;
        lock();
        x = 0;
        do
        :: x < NM && P[x] != NONE && pst[P[x]] == prunning -> want(x, true); x++
        :: x < NM && P[x] == NONE -> x++
        :: x == NM -> break
        od;
        x = 0;
#if MUTATE == 2
        seen = inrt[0];
#endif
#if MUTATE != 1
        fence();
#endif
        do
        :: x < NM && round[x] ->
            begin(x, seen);
            if
            :: p != NONE -> detach(x, pgcstop); atomic { from[p] = x; stopwait--; p = NONE }
            :: else
            fi;
next:
            round[x] = false; x++
        :: x < NM && !round[x] -> x++
        :: x == NM -> break
        od;
        x = 0;
        unlock();
        // the next round when there is something to take, or it is over: an M inside is waited for
        if
        :: stopwait == 0
        :: stopwait != 0 && (P[0] != NONE && !inrt[0] || P[1] != NONE && !inrt[1])
        fi;
        goto again;
stopped:
        atomic {
            for (x : 0 .. NM - 1) { assert(!using[x] && P[x] == NONE) };
            for (x : 0 .. NP - 1) { assert(pst[x] == pgcstop && holder[x] == NONE) };
            x = 0
        };
        atomic {  // start_the_world: procresize; that work finds an M is wakep's
            gcwaiting = false;
            for (x : 0 .. NP - 1) {
                if
                :: from[x] == NONE -> pst[x] = pidle; onlist[x] = true
                :: else
                fi
            };
            x = 0
        };
        lock();  // return_ps
        p = 0;
        do
        :: p < NP && from[p] == NONE -> p++
        :: p < NP && from[p] != NONE -> give_back(from[p]); atomic { from[p] = NONE; p++ }
        :: p == NP -> break
        od;
        p = NONE;
        unlock()
    od
}

inline oldest_out(m) { inrt[m] = buf[m] & 1; buf[m] = buf[m] >> 1; nbuf[m]-- }
proctype memory() {
end:
    do
    :: atomic { nbuf[0] > 0 -> oldest_out(0) }
    :: atomic { nbuf[1] > 0 -> oldest_out(1) }
    od
}

proctype watch() {
    byte x;
    timeout;
    for (x : 0 .. NP - 1) {
        assert((holder[x] != NONE && P[holder[x]] == x && pst[x] == prunning) || onlist[x] || pst[x] == psyscall);
        assert(queue == 0 || !onlist[x])
    };
    assert(!gcwaiting && !retakelock)
}

init {
    byte m;
    atomic {
        for (m : 0 .. NM - 1) { P[m] = NONE; oldp[m] = NONE; nextp[m] = NONE; midle[m] = true; inrt[m] = true };
        P[0] = 0; pst[0] = prunning; midle[0] = false; running[0] = true;
        for (m : 1 .. NP - 1) { holder[m] = NONE; onlist[m] = true };
        for (m : 0 .. NP - 1) { from[m] = NONE };
        for (m : 0 .. NM - 1) { run M(m) };
        m = 0;
        run sysmon(); run stopper(); run memory(); run watch()
    }
}
