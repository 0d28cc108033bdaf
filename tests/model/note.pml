// How threads of the runtime wait: mutex (LK1, LK2) and, with -DNOTE, note (NT1, NT2) as an idle M uses it (ID2, ID3), of
// runtime/base/lock.h and runtime/sched/pidle.cc.
//
// What must hold, whatever the interleaving: one holder of the mutex; nobody sleeps for ever though the mutex is free or
// its note was woken (invalid end states); an M is woken with its P written, once, and never after it ended.
//
//   process              stands for
//   thread               mutex::lock, lock_slow and unlock
//   idle_m               stopm with sleep_idle: sleeps with a time limit, ends when nobody wanted it
//   starter              startm: mget, nextp, notewakeup
//   sysmon               reserve_m and unreserve_m: takes the M off the list and puts it back without a wake
//
// The futex: to compare the word and to queue up is one step, to wake takes one of the queue; a spurious wake-up (EINTR) may come
// once, at any time.  All the rest are read-modify-writes, or loads whose answer the next of them checks, so there
// are no store buffers here; notewakeup's release against notesleep's acquire is the order of the steps.
//
// Simplified, and why nothing is lost by it: lock_slow looks once before it asks the futex (more looks only come later);
// in -DNOTE sections under sched.lock are one step (the mutex above); the time limit of notetsleep may be over at any time.
//
// -DMUTATE=n breaks one thing; spin must find each:
//   1  a thread that slept takes the lock as `locked` (LK2)
//   2  unlock is a load and a store
//   3  the futex does not compare the word
//   4  unlock does not wake
//   5  (NOTE) an M whose time is over does not look whether it is still on the list (ID3)
//   6  (NOTE) nextp is written after the note (ID2)
//   7  (NOTE) notewakeup wakes before it writes the word
#ifndef MUTATE
#define MUTATE 0
#endif
#define N 3
#ifndef ROUNDS
#define ROUNDS 2
#endif
#define unlocked 0
#define locked 1
#define sleeping 2
#define NONE 15

byte key;           // the word: mutex::key_, or note::key
byte queue;         // who sleeps on it
byte spurious = 1;
byte inside;

inline futex_wait(val) {
    atomic {
        if
        :: key == val || MUTATE == 3 -> queue = queue | (1 << me)
        :: else
        fi
    };
#ifdef NOTE
end_asleep:  // `watch` says whether it is one
#endif
    if
    :: (queue & (1 << me)) == 0
    :: atomic { spurious > 0 && (queue & (1 << me)) -> spurious--; queue = queue & ~(1 << me) }
    fi
}
inline futex_wake() {
    atomic {
        if
        :: queue & 1 -> queue = queue & ~1
        :: queue & 2 -> queue = queue & ~2
        :: queue & 4 -> queue = queue & ~4
        :: queue == 0
        fi
    }
}

#ifndef NOTE
proctype thread(byte me) {
    byte was, take, n;

    do
    :: n < ROUNDS ->
        n++;
        atomic { was = key; key = (key == unlocked -> locked : key); take = locked };
        do
        :: was == unlocked -> break
        :: else ->
            atomic { was = key; key = (key == unlocked -> take : key) };  // the look in lock_slow, and its CAS
            if
            :: was == unlocked -> break
            :: else
            fi;
            atomic { was = key; key = (MUTATE == 1 && was == unlocked -> locked : sleeping) };
            if
            :: was == unlocked -> break
            :: else
            fi;
            take = (MUTATE == 1 -> locked : sleeping);
            futex_wait(sleeping)
        od;
        inside++;
        assert(inside == 1);
        inside--;
#if MUTATE == 2
        was = key; key = unlocked;
#else
        atomic { was = key; key = unlocked };
#endif
        if
        :: was == sleeping && MUTATE != 4 -> was = 0; futex_wake()
        :: else -> was = 0
        fi
    :: else -> break
    od
}

init {
    byte m;
    atomic { for (m : 0 .. N - 1) { run thread(m) } }
}

#else
bool idle;              // the M is on sched.midle
bool ended;
byte nextp = NONE;
byte wakes = ROUNDS;    // startm's Ps

proctype idle_m() {
    byte me = 0;
    bool surplus;

stopm:
    atomic {
        idle = true;
        if
        :: surplus = true
        :: surplus = false  // one of those that are kept
        fi
    };
    do  // sleep_idle: notetsleep or notesleep
    :: key != 0 -> break
    :: key == 0 && surplus ->  // the time is over
        atomic {
            if
#if MUTATE == 5
            :: true -> idle = false; ended = true; goto mend
#else
            :: !idle
            :: idle -> idle = false; ended = true; goto mend
            :: idle -> surplus = false  // no more so
#endif
            fi
        }
    :: key == 0 -> futex_wait(0)
    od;
    key = 0;  // noteclear
    assert(nextp != NONE && !idle);
    nextp = NONE;
    goto stopm;
mend:
    skip
}

proctype starter() {
    bool mine;

end_starter:
    do
    :: atomic { wakes > 0 && idle -> wakes--; idle = false; mine = true };  // mget
        assert(!ended && nextp == NONE);
#if MUTATE != 6
        nextp = 1;
#endif
#if MUTATE == 7
        futex_wake();
#endif
        atomic { assert(key == 0); key = 1 };  // NT1
#if MUTATE == 6
        nextp = 1;
#endif
#if MUTATE != 7
        futex_wake();
#endif
        mine = false
    od
}

proctype sysmon() {
    byte n;

end_sysmon:
    do
    :: atomic { n < ROUNDS && idle -> n++; idle = false };
        assert(!ended);
        atomic { assert(!ended); idle = true }
    od
}

proctype watch() {
    timeout;
    assert(key == 0 && nextp == NONE);  // nobody was woken and sleeps on
    assert(idle != ended)
}

init { atomic { run idle_m(); run starter(); run sysmon(); run watch() } }
#endif
