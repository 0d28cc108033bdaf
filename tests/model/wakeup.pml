// How Ms sleep and how work wakes them: WK1-WK6 of runtime/sched/find.cc, ID1, ID2 and ID4 of pidle.cc, SY1 of
// syscall.cc, and, with -DHINTS, what WK7 and RQ8 leave to sysmon.
//
// What must hold, whatever the interleaving:
//   - no lost wake-up: when nothing can move any more, no G is queued beside an idle P;
//   - a P has one M at most, and each is idle or held: none is lost, nor is a G;
//   - nmspinning is never negative, and 0 when everybody sleeps;
//   - what the code throws for (startm, wirep, pidleput, stopm) never happens.
//
//   process / label      stands for
//   M                    a thread: schedule() and findrunnable() on g0, and the user code it runs (label `user`)
//     schedule           runqget in schedule() and from_local in findrunnable()
//     find .. giveup     from_global, start_spinning, one round of spin_for_work, give_up_p
//     sleep, look        sleep_or_look_again: the last spinner's look, the pause, the very last look
//     stop               stopm
//     got                resetspinning
//     user               what a G may do: goready or newproc_commit (runqput, wakep_for_lone), a full ring (runqputslow),
//                        gosched_m and gosched_putoff_m, entersyscall and exitsyscall, to end, to compute for ever
//   sysmon               retake_syscall with handoffp or an M in reserve, goready_injected, wake_for_backlog, sleep_deeply
//   memory               the store buffers: lets a put to a ring be seen by others, any time later
//   watch                looks at the end state
//
// Memory: what the code says with a read-modify-write or under sched.lock is one step here, and drains the store buffer of
// the thread first.  The put to a P's own queue (ring, runnext, newborns: one counter q here) is a release store without a
// fence, so it goes to a store buffer (sb), and stays there as long as `memory` likes: that is x86, and as to this put and the
// loads behind it ARM too.  That ARM may move other things is what the seq_cst of the rest excludes; mutations 1 and 3 are what
// happens without it.  The pause of WK6 is taken at its word: what was in a buffer when it began is out when it ends.
//
// Simplified, and why nothing is lost by it:
//   - a section under sched.lock with one access that others see without the lock is one step: all else in it is the
//     lock's; where there are two (globrunqget) the lock is held from one to the next;
//   - Gs are counts: which one is taken plays no part in sleeping and waking;
//   - idle Ms are alike, so are idle Ps (empty queues): the lists are sets, and the lowest is taken;
//   - WK1's numbers are a heuristic: here an M spins or does not, as it likes; one round of looking stands for many, since it
//     may come at any time;
//   - newm: when no M is idle startm waits for one that goes to sleep, which stands for a new one;
//   - timers, gcwaiting, locked Gs and the end of surplus Ms are left out: they have their own protocols
//     (TM4, SC2, LO2, ID3), wake by the same startm, and do not put to queues;
//   - wake_batch: a wake that comes later; as here when its M is slow.
//
// handoffp's look has no pause behind it: a put that was in a store buffer then waits for sysmon's next tick (WK6's
// backstop), and only such a put (`tick`).  give_up_p's and handoffp_locked's looks at the global queue under the lock
// save a wake-up; without them the looks after pidleput find the same.
//
// -DLIMIT: at the limit of threads (ID4) startm finds no idle M, and the P is left idle, its Gs to the others.  That it goes to
// the M of a locked G that waits, and that it is fatal where none comes, is left out, with locked Gs.
//
// All states are gone through (spin_test.sh) of two Ms and two Ps with two puts, or one and a system call at the limit; of three Ms
// with a call; of three Ms and Ps with one put.  Of three Ms and Ps with two puts there are too many: its first 110 steps are
// (250 with an injected G, states told apart by a hash), within which mutations 5 and 14 are found.
//
// -DMUTATE=n breaks one thing; spin must find each:
//   1  the last look comes before nmspinning-- (WK4's order lost)
//   2  no look at the queues once the P is idle (WK4, WK5)
//   3  the producer looks for spinners and idle Ps before its put to the global queue (WK2, WK5)
//   4  no second look after the pause (WK6)
//   5  the last spinner finds work and wakes nobody (WK3)
//   6  handoffp does not look at the queues after pidleput (WK5)
//   7  startm without a P does not take the spinner's count back
//   8  wakep counts its spinner with a load and a store
//   9  an M that finds an idle P in the last look goes on as a spinner without counting itself
//   10 exitsyscall takes its old P without a compare-and-swap
//   11 sysmon does not look at rings
//   12 an M about to sleep does not take the P that was left idle (ID4, LIMIT)
//   13 an M that sysmon puts back does not (ID4, LIMIT)
//   14 startm takes the count back after it has let sched.lock go
#ifndef MUTATE
#define MUTATE 0
#endif
#ifndef NM
#define NM 3
#endif
#ifndef NP
#define NP 2
#endif
#ifndef PUTS
#define PUTS 2
#endif
#ifndef YIELDS
#define YIELDS 0
#endif
#ifndef SYSCALLS
#define SYSCALLS 1
#endif
#ifndef INJECTED
#define INJECTED 1
#endif
#define NONE 15
#if MUTATE == 11
#define backlog false
#elif defined(HINTS)
#define backlog true
#else
#define backlog (tick != 0)
#endif
#define SYSMON NM  // its number among those who wake; it has no P and no ring

byte q[NP];             // Gs in a P's own queue, as others see it
byte sb[NM + 1];        // puts to the own queue in M's store buffer
byte pend[NM];          // of an M in its pause: two bits for each M, puts that must drain first
byte runqsize;          // Gs in the global queue [sched.lock; read without]
byte npidle, pidle;     // idle Ps: how many, and which [sched.lock; npidle read without]
byte midle;             // idle Ms: which [sched.lock]
byte nmspinning;
byte nreserved;         // Ms in sysmon's hands [sched.lock]
bool lk;                // sched.lock, where it is held for longer than a step
byte holder[NP];        // p.mp
bool insyscall[NP];     // p.status == psyscall
byte P[NM + 1];         // m.pp
bool spinning[NM + 1];
byte nextp[NM], note[NM];
bool sysmonwait;
bool starved;           // startm left a P idle for want of an M
byte tick;              // Ps that handoffp idled while a put was in a store buffer: its look has no pause, sysmon's tick mends that

byte puts = PUTS, injected = INJECTED, syscalls = SYSCALLS, yields = YIELDS;  // what may still be done
byte made = 1, gone;    // Gs that came to be; those that ended or will never come back

#if NP > 2
#define queued (q[0] + q[1] + q[2])
#else
#define queued (q[0] + q[1])
#endif
#define runqempty(p) (q[p] == 0)

// A locked instruction: the thread's own stores are out before it.
inline drain(x) {
    if
    :: sb[x] > 0 -> q[P[x]] = q[P[x]] + sb[x]; sb[x] = 0;
        for (dm : 0 .. NM - 1) { pend[dm] = pend[dm] & ~(3 << (2 * x)) }
    :: else
    fi;
    dm = 0
}

// ---- pidle.cc; within an atomic, sched.lock free
inline pidleput(p) { assert(runqempty(p)); pidle = pidle | (1 << p); npidle++ }
inline pidleget(p) {
    if
    :: pidle & 1 -> p = 0
    :: (pidle & 3) == 2 -> p = 1
    :: (pidle & 3) == 0 && pidle != 0 -> p = 2
    :: pidle == 0 -> p = NONE
    fi;
    if
    :: p != NONE -> pidle = pidle & ~(1 << p); npidle--; tick = tick & ~(1 << p); sysmonwait = false
    :: else
    fi
}
inline mget(m) {
    if
    :: midle & 1 -> m = 0
    :: (midle & 3) == 2 -> m = 1
    :: (midle & 7) == 4 -> m = 2
    :: (midle & 7) == 0 && (midle & 8) -> m = 3
    :: midle == 0 -> m = NONE
    fi;
    if
    :: m != NONE -> midle = midle & ~(1 << m)
    :: else
    fi
}
// give_p_left_idle: to m, about to be idle; p is NONE if there was none.
inline p_left_idle(m, p) {
    p = NONE;
    if
    :: starved -> starved = false; pidleget(p)
    :: else
    fi;
    if
    :: p != NONE -> spinning[m] = true; nmspinning++
    :: else
    fi
}
inline acquirep(p) {
    assert(P[me] == NONE && holder[p] == NONE && !insyscall[p] && !(pidle & (1 << p)));  // wirep
    P[me] = p; holder[p] = me
}
inline spinner_less() { assert(nmspinning > 0); nmspinning-- }

// pp is wp: the caller's P or NONE, for an idle one.
inline startm(spin) {
    atomic {
        !lk; drain(me);
        optional = (wp == NONE);
        if
        :: optional -> pidleget(wp); optional = false
        :: else
        fi;
        wm = NONE;
        if
        :: wp != NONE -> mget(wm);
#ifdef LIMIT
            if
            :: wm == NONE ->  // leave_idle
                runqsize = runqsize + q[wp]; q[wp] = 0;
                pidleput(wp); starved = true; wp = NONE
            :: else
            fi
#endif
        :: else
        fi;
        if
        :: spin && wp == NONE && MUTATE != 7 && MUTATE != 14 -> spinner_less()
        :: else
        fi
    };
    if
    :: wp == NONE ->
#if MUTATE == 14
        if
        :: spin -> atomic { drain(me); spinner_less() }
        :: else
        fi
#else
        skip
#endif
    :: else ->
        if
        :: wm == NONE -> atomic { !lk && midle != 0 -> mget(wm) }  // newm
        :: else
        fi;
        atomic {
            assert(!spinning[wm] && nextp[wm] == NONE && !note[wm]);
            assert(!spin || runqempty(wp));
            drain(me); spinning[wm] = spin; nextp[wm] = wp; note[wm] = 1;  // the note is a locked exchange
            wp = NONE; wm = NONE
        }
    fi
}

// ---- find.cc
inline wakep() {
    if
    :: npidle == 0
    :: else ->
        if
        :: nmspinning != 0
        :: else ->
#if MUTATE == 8
            atomic { drain(me); nmspinning = 1; won = true };
#else
            atomic { drain(me); won = (nmspinning == 0); nmspinning = (won -> 1 : nmspinning) };
#endif
            if
            :: won -> atomic { won = false; wp = NONE }; startm(true)
            :: else
            fi
        fi
    fi
}
// lone: the put was to the own queue.  WK7: not worth a wake.
inline wakep_for_lone(lone) {
    if
    :: npidle == 0
#ifdef HINTS
    :: npidle != 0 && lone
#endif
    :: npidle != 0 -> wakep()
    fi
}
// work_queued: a look at each queue, one after the other; the last one, at the global queue, is its caller's.
#ifdef HINTS
#define counts(p) (q[p] > 0 && !(left_alone && holder[p] != NONE))  // RQ8: will_be_left_alone
#else
#define counts(p) (q[p] > 0)
#endif
inline work_queued() {
    yes = counts(0);
    yes = (yes || counts(1))
#if NP > 2
    ; yes = (yes || counts(2))
#endif
}
// globrunqget: one to run, a share of the rest to the own ring, or, where the next is a caller (SY4), nothing; and the lock
// stays held until the puts are made.
inline globrunqget() {
    n = runqsize / NP + 1;
    if
    :: n > runqsize -> n = runqsize
    :: n <= runqsize
    :: n = 1
    fi;
    runqsize = runqsize - n; sb[me] = sb[me] + n - 1; n = 0; lk = true
}
// Half of another's, by a CAS; the rest is published by a store.
inline runqsteal(p) {
    drain(me);
    n = q[p] - q[p] / 2; q[p] = q[p] - n; sb[me] = sb[me] + n - 1; n = 0
}
inline unlock() { atomic { drain(me); lk = false } }

proctype M(byte me) {
    byte n, dm, wp = NONE, wm = NONE, old = NONE;
    bool won, optional, was, last, yes, left_alone;

    if
    :: P[me] != NONE -> goto user  // the main goroutine
    :: else -> goto asleep
    fi;

schedule:
    atomic {
        left_alone = false;
        if
        :: q[P[me]] + sb[me] > 0 -> drain(me); q[P[me]]--; goto got
        :: else
        fi
    };
find:
    if
    :: runqsize == 0
    :: else ->
        atomic {
            !lk; drain(me);
            if
            :: runqsize != 0 -> globrunqget()
            :: else -> goto wk1
            fi
        };
        unlock(); goto got
    fi;
wk1:
    if
    :: spinning[me]
    :: !spinning[me] -> atomic { drain(me); spinning[me] = true; nmspinning++ }
    :: !spinning[me] -> goto giveup
    fi;
    // spin_for_work; its from_global is left to give_up_p
    if
    :: atomic { P[me] != 0 && q[0] > 0 -> runqsteal(0); goto got }
    :: atomic { P[me] != 1 && q[1] > 0 -> runqsteal(1); goto got }
#ifdef HINTS
    :: q[1 - P[me]] > 0 && holder[1 - P[me]] != NONE -> left_alone = true  // RQ8
#endif
#if NP > 2
    :: atomic { P[me] != 2 && q[2] > 0 -> runqsteal(2); goto got }
    :: true  // looked there a moment too early
#endif
    :: else
    fi;
giveup:
    atomic {
        !lk; drain(me);
        if
        :: runqsize != 0 -> globrunqget()
        :: else -> old = P[me]; holder[old] = NONE; P[me] = NONE; pidleput(old); old = NONE; goto sleep
        fi
    };
    unlock(); goto got;

sleep:
#if MUTATE == 1
    work_queued(); yes = (yes || runqsize != 0);
#endif
    atomic {
        was = spinning[me];
        if
        :: was -> drain(me); spinning[me] = false; spinner_less()
        :: else
        fi
    };
#if MUTATE == 2
    goto stop;
#endif
look:
#if MUTATE != 1
    work_queued();
#endif
    atomic {
        if
        :: !yes && (MUTATE == 1 || runqsize == 0) -> goto pause
        :: else -> yes = false
        fi
    };
    atomic { !lk; pidleget(old); if :: old == NONE -> goto pause :: else fi };  // queues_have_work
    atomic {
        acquirep(old); old = NONE; last = false;
        if
        :: was -> was = false; spinning[me] = true; nmspinning = nmspinning + (MUTATE != 9)
        :: else
        fi;
        goto schedule
    };
pause:
    atomic {
        if
        :: !last && MUTATE != 4 && MUTATE != 1 -> last = true; pend[me] = sb[0] | (sb[1] << 2) | (sb[2] << 4)
        :: else -> goto stop
        fi
    };
    atomic { pend[me] == 0; goto look };

stop:
    atomic {
        was = false; last = false; left_alone = false;
        assert(P[me] == NONE && !spinning[me]);
        !lk;
#if MUTATE != 12
        p_left_idle(me, old);
        if
        :: old != NONE -> drain(me); acquirep(old); old = NONE; goto schedule
        :: else
        fi;
#endif
        midle = midle | (1 << me)
    };
asleep:
end_asleep:
    atomic {
        note[me]; note[me] = 0;
        assert(nextp[me] != NONE && !(midle & (1 << me)));
        acquirep(nextp[me]); nextp[me] = NONE; goto schedule
    };

got:
    if
    :: atomic { spinning[me] -> drain(me); spinning[me] = false; spinner_less() };  // resetspinning
#if MUTATE != 5
        wakep()
#endif
    :: else
    fi;

user:
    if
    :: atomic { puts > 0 -> puts--; made++; sb[me]++ };  // goready, newproc_commit
        wakep_for_lone(true); goto user
    :: atomic { puts > 0 -> puts--; made++ };  // the same with a full ring: runqputslow
#if MUTATE == 3
        wakep();
#endif
        atomic { !lk; drain(me); runqsize++ };
#if MUTATE != 3
        wakep_for_lone(false);
#endif
        goto user
    :: atomic { yields > 0 && !lk -> yields--;  // gosched_m
            if
            :: q[P[me]] + sb[me] > 0 -> sb[me]++
            :: else -> drain(me); runqsize++
            fi;
            goto schedule
        }
    :: atomic { syscalls > 0 -> syscalls--;  // entersyscall; the store of psyscall is seq_cst
            drain(me); old = P[me]; holder[old] = NONE; P[me] = NONE; insyscall[old] = true; goto blocked
        }
    :: atomic { gone++; goto schedule }  // it ends or parks
    :: atomic { gone++; goto forever }   // it computes
    fi;
forever:
end_forever:
    false;

blocked:
    if
    :: atomic { gone++; goto forever }  // for ever
    :: skip
    fi;
    // exitsyscall: the old P by CAS, an idle one, or G to the global queue
#if MUTATE == 10
    if
    :: insyscall[old] -> atomic { insyscall[old] = false; P[me] = old; holder[old] = me; old = NONE }; goto user
    :: else
    fi;
#else
    atomic {
        if
        :: insyscall[old] -> insyscall[old] = false; acquirep(old); old = NONE; goto user
        :: else
        fi
    };
#endif
    if
    :: npidle == 0 -> old = NONE
    :: else -> atomic { !lk; pidleget(old); if :: old != NONE -> acquirep(old); old = NONE; goto user :: else fi }
    fi;
    atomic {  // exitsyscall0
        !lk; pidleget(old);
        if
        :: old != NONE -> acquirep(old); old = NONE; goto user
        :: else -> runqsize++
        fi
    };
    goto stop
}

// With the P wp in hand.
inline handoffp() {
    if
    :: !runqempty(wp) || runqsize != 0 -> goto start
    :: else
    fi;
    yes = (nmspinning == 0);
    if
    :: yes && npidle == 0 ->
        atomic { yes = false; won = (nmspinning == 0); nmspinning = (won -> 1 : nmspinning) };
        if
        :: won -> won = false; startm(true); goto round
        :: else
        fi
    :: else
    fi;
    atomic {  // handoffp_locked
        !lk;
        if
        :: runqsize != 0 -> goto start
        :: else -> pidleput(wp); tick = (sb[0] + sb[1] + sb[2] > 0 -> tick | (1 << wp) : tick); wp = NONE
        fi
    };
#if MUTATE != 6
    work_queued();
    if
    :: yes || runqsize != 0 -> yes = false; wakep()
    :: else -> yes = false
    fi;
#endif
    goto round;
start:
    startm(false)
}

proctype sysmon() {
    byte me = SYSMON, dm, wp = NONE, wm = NONE, heir = NONE;
    bool won, optional, yes;
    bool left_alone;

round:
    atomic { wp = NONE; wm = NONE; heir = NONE; yes = false; won = false };
end_round:
    if
    :: insyscall[0] -> wp = 0; goto take  // retake_syscall: with work at once, else after a while: any time here
    :: insyscall[1] -> wp = 1; goto take
#if NP > 2
    :: insyscall[2] -> wp = 2; goto take
#endif
    :: atomic { injected > 0 && !lk -> injected--; made++; runqsize++ };  // goready_injected
        if
        :: npidle != 0 -> wp = NONE; startm(false)
        :: else
        fi;
        goto round
    :: backlog && queued > 0 && npidle != 0 && nmspinning == 0 -> startm(false); goto round  // wake_for_backlog
    :: atomic { !lk && npidle == NP -> sysmonwait = true };  // sleep_deeply
end_deep:
        !sysmonwait; goto round
    fi;
take:
    if
    :: !runqempty(wp) || runqsize != 0 ->
        atomic {  // reserve_m
            !lk; mget(heir);
            if
            :: heir == NONE -> goto round
            :: else -> nreserved++
            fi
        }
    :: else
    fi;
    atomic { won = insyscall[wp]; insyscall[wp] = false };
    if
    :: won && heir != NONE ->  // startm_reserved
        atomic { !lk; nreserved-- };
        atomic {
            assert(nextp[heir] == NONE && !note[heir]);
            nextp[heir] = wp; note[heir] = 1
        }
    :: won && heir == NONE -> won = false; handoffp()
    :: !won && heir != NONE ->  // unreserve_m
        atomic {
            !lk; nreserved--;
#if MUTATE != 13
            p_left_idle(heir, wp);
            if
            :: wp != NONE -> nextp[heir] = wp; goto wake
            :: else
            fi;
#endif
            midle = midle | (1 << heir)
        }
    :: else
    fi;
    goto round;
wake:
    atomic { assert(!note[heir]); note[heir] = 1 };
    goto round
}

// A store buffer gives up its oldest entry.
inline oldest_out(m) {
    q[P[m]]++; sb[m]--;
    for (x : 0 .. NM - 1) {
        if
        :: (pend[x] >> (2 * m)) & 3 -> pend[x] = pend[x] - (1 << (2 * m))
        :: else
        fi
    };
    x = 0
}
proctype memory() {
    byte x;
end:
    do
    :: atomic { sb[0] > 0 -> oldest_out(0) }
    :: atomic { sb[1] > 0 -> oldest_out(1) }
    :: atomic { sb[2] > 0 -> oldest_out(2) }
    od
}

proctype watch() {
    byte p;
    timeout;
    // Nothing can move any more.
#ifdef LIMIT
    assert((runqsize + queued == 0) || npidle == 0 || midle == 0);
#else
    assert((runqsize + queued == 0) || npidle == 0);
#endif
    assert(nmspinning == 0 && nreserved == 0 && !lk);
    assert(npidle == (pidle & 1) + (pidle >> 1 & 1) + (pidle >> 2));
    for (p : 0 .. NP - 1) { assert((holder[p] == NONE) == (pidle >> p & 1)) };
    assert(made == gone + runqsize + queued)
}

init {
    byte m;
    atomic {
        for (m : 0 .. NM - 1) { P[m] = NONE; nextp[m] = NONE; midle = midle | (1 << m) };
        P[SYSMON] = NONE;
        midle = midle & ~1; P[0] = 0; holder[0] = 0;
        for (m : 1 .. NP - 1) { holder[m] = NONE; pidle = pidle | (1 << m); npidle++ };
        for (m : 0 .. NM - 1) { run M(m) };
        m = 0;
        run sysmon(); run memory(); run watch()
    }
}
