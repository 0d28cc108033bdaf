// Every tunable of the runtime: value, unit, reason.  Nothing else in the tree
// holds a bare number that somebody might want to turn.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rt0::runtime::cfg {

// ---- Ms
inline constexpr int max_ms = 10000;                    // threads; Go's sched.maxmcount
inline constexpr std::size_t g0_stack = 256 << 10;      // bytes, reserved; the scheduler needs 4 KiB, glibc's thread
                                                        // start and exit (TLS destructors, resolver) a good deal more
inline constexpr std::size_t gsignal_stack = 256 << 10;  // bytes, reserved; a frame is 3.6 KiB with AVX-512, symbolising
                                                         // in a report takes up to 160
inline constexpr std::size_t m_block = 64 << 10;        // bytes; ms are carved from it
inline constexpr std::size_t m0_align = 4096;           // bytes; the page of x86-64
inline constexpr int clone_retries = 20;                // EAGAIN from clone: back off 1, 2, 3 ... ms, then give up
inline constexpr int extra_ms_kept = 32;                // free Ms for foreign threads to come; without a stack of their
                                                        // own in use, 8 KiB each
inline constexpr int idle_ms_kept = 4;                  // idle Ms kept for good beyond one for each P: a few for the next
                                                        // blocking calls; each costs 20 KiB, a new one 100 us
inline constexpr std::uint32_t passed_over = 1 << 16;      // Ps in a row for locked goroutines, while others wait for a thread, ID4
inline constexpr std::int64_t idle_m_ns = 5'000'000'000;  // ns an M beyond those sleeps before it ends; a storm that comes
                                                          // back every second or so keeps its Ms
inline constexpr std::int64_t spare_retry = 100'000'000;  // ns between tries for spare Ms at a limit
inline constexpr std::int64_t bury_wait_min = 1'000'000;  // ns until the template thread looks again whether a thread that
inline constexpr std::int64_t bury_wait_max = 1'000'000'000;  // ended is gone; it doubles up to this, and then stops:
                                                              // thread_local destructors may run for ever

// ---- Ps
inline constexpr int max_procs = 1024;            // Go's limit too
#ifdef RT_MODEL
inline constexpr std::uint32_t runq_size = 4;     // small, so that models reach the overflow
inline constexpr std::uint32_t born_size = 4;
#else
inline constexpr std::uint32_t born_size = 1024;  // slots for goroutines that have not run yet; batches of a thousand fit
inline constexpr std::uint32_t runq_size = 256;   // slots; Go's, one cache line of heads per 32
#endif
inline constexpr int goid_batch = 16;             // ids a P takes at a time from sched.goidgen
inline constexpr int sched_tick_global = 61;      // rounds between looks at the global queue; prime, as in Go
inline constexpr std::uint32_t ring_laps = 16;    // times a ring goes round before its turn is over; of 500 communicating pairs
                                                  // the luckiest has 1.2 times the exchanges of the unluckiest in a second,
                                                  // with 8 laps 1.08 times, but 1,000 that yield take 15 to 30 % longer
inline constexpr std::uint32_t born_oldest = 256; // of so many newborns that a P runs, one is its oldest ...
inline constexpr std::uint32_t born_crowd = born_size / 4;  // ... unless more than this wait: in a tree each oldest one brings
                                                            // a whole subtree, and a deque that overflows walks it in breadth:
inline constexpr std::uint32_t born_oldest_crowded = 16384; // then one of so many; skynet peaks at 6 MB, with 256 here at 113 MB
inline constexpr std::int64_t born_late = 10'000'000;   // ns of turns of others, after which ...
inline constexpr std::uint32_t born_oldest_late = 4;    // one of so many is the oldest
inline constexpr std::uint32_t crowd_gs = 64;     // newborns waiting, of whom it is noted how long their turns are (BN7)
inline constexpr std::int64_t crowd_turn_ns = 300;      // to start and run one; what takes less is not worth stealing
inline constexpr std::int64_t crowd_alone_ns = 500'000; // for so long after a crowd began or ended newborns are left alone
inline constexpr std::uint32_t crowd_looks = 16;        // starts from one look at the clock to the next meanwhile
inline constexpr std::uint32_t born_turn = 8;     // rounds between those in which a newborn goes before the ring
inline constexpr int runnext_inherit_max = 64;    // Gs in a row that may inherit the time slice through runnext
inline constexpr int steal_rounds = 4;            // passes over all Ps before an M stops spinning; Go's stealTries
inline constexpr std::int64_t spin_ns = 20'000;    // ns an M looks for work before it sleeps, if every P can have a processor
inline constexpr int vain_spins_max = 5;          // a spin that found nothing halves the next, so many times
inline constexpr std::int64_t timer_spacing = 500'000;  // ns between two wake-ups for timers that come thick, at most
inline constexpr std::int64_t timer_worth = 30'000;     // ns of it for each timer that ran since the last wake-up
inline constexpr std::int64_t alone_ns = 200'000;       // ns of work that timers made ready for which no second M is woken: to
                                                        // wake and steal costs the two 30 and puts the Gs in two caches
inline constexpr std::int64_t alone_look = 2'000'000;   // ns; and only if sysmon looks within as much
inline constexpr int spin_pause = 20;             // PAUSEs between looks, about 0.4 us
inline constexpr int drain_pause = 100;           // PAUSEs before the very last look, 2 us; a store buffer drains in less than 1
inline constexpr std::uint32_t wake_backoff_max = 1023;  // wakes skipped in a row, at most, while they are wasted
inline constexpr std::int64_t theft_worth = 3'000;  // ns that a thief runs at least before it is out of work again; less is not
                                                   // worth the wake-up, which takes the waker alone 11 us
inline constexpr std::uint32_t short_queue = 8;    // Gs; a ring no longer than this is left alone while its P gets through ...
inline constexpr std::uint32_t brisk_gs = 5;       // ... so many ...
inline constexpr std::int64_t brisk_ns = 3000;     // ... in so many ns, which a thief watches it for (RQ8)
inline constexpr int steal_runnext_spin = 3000;   // ns a thief leaves a runnext alone: its P most likely runs it next
inline constexpr int timer_check_ticks = 8;       // rounds between looks at the clock while timers are pending

// ---- a scheduler that decides by a seed
inline constexpr std::int64_t seed_tick = 1000;   // ns of virtual time between two decisions; about what one takes
inline constexpr std::int64_t seed_look = 100;    // ns of it for each look at the clock
inline constexpr std::uint32_t chaos_spell = 256;      // rounds of a P; in every second spell of so many some Gs and Ps are starved
inline constexpr std::uint32_t chaos_pass_over = 4;    // Gs passed over in a row, at most
inline constexpr std::uint32_t chaos_starve_us = 2000; // that a starved P does not run, at most

// ---- declared calls (SY4 in sched/syscall.cc)
inline constexpr int long_turn = 2;               // looks of sysmon, 20 us to 1 ms apart: a turn from call to call
inline constexpr int long_turns = 2;              // that many long ones in a row, and the G is not known for brief ones any more
inline constexpr std::uint8_t call_backoff_max = 15;  // calls that are not put off after one that was in vain, at most
inline constexpr std::uint8_t call_probe = 200;   // one call in so many is not put off, to see whether it blocks

// ---- G free lists
inline constexpr int gfree_local_max = 64;        // per P, then half go to the global list
inline constexpr int gfree_batch = 32;            // moved at a time between local and global

// ---- stacks
inline constexpr std::size_t stack_default = 64 << 10;   // bytes, the slot with its guard; 32 KiB were too few for OpenSSL
inline constexpr std::size_t stack_guard = 16 << 10;     // bytes inside the slot; -fstack-clash-protection probes every 4 KiB
inline constexpr std::size_t stack_min = 32 << 10;       // bytes; smallest slot: a guard and 16 KiB of use
inline constexpr std::size_t stack_max = std::size_t{1} << 30;  // bytes; larger requests are refused
inline constexpr std::size_t main_stack = 8 << 20;       // bytes; what the initial thread of a C++ program has
inline constexpr std::size_t closure_on_stack = 256;     // bytes; larger callables of go() are boxed
inline constexpr int stack_colours = 16;                 // stack tops start at 0, 64, ... 960 bytes below the end

inline constexpr std::size_t scavenge_step = 1 << 20;      // bytes returned between two looks at the scheduler
inline constexpr std::int64_t scavenge_pause = 1'000'000;  // ns between steps: at most 1 GiB/s
inline constexpr std::size_t scavenge_slack = 16 << 20;    // bytes of idle stacks kept while the process is busy
inline constexpr int scavenge_tries = 64;                   // spans that the kernel may refuse one after the other in a step
inline constexpr std::int64_t scavenge_again = 60'000'000'000;  // ns an idle process does not ask again for what was refused
inline constexpr std::int64_t scavenge_period = 1'000'000'000;  // ns between looks at idle memory

// ---- memory
inline constexpr std::size_t heap_page = 8 << 10;        // bytes; unit of object spans, Go's
inline constexpr std::size_t arena_size = 64 << 20;      // bytes reserved at a time, Go's
inline constexpr std::size_t arena_first = 16 << 20;     // bytes; the first object arena, never of huge pages: a small
                                                         // program must not pay 2 MiB for its first object
inline constexpr std::size_t arena_granule = 4 << 20;    // bytes; arenas are aligned to it, the address map counts in it
inline constexpr std::size_t metadata_chunk = 1 << 20;   // bytes; reserved at a time for spans, bitmaps and caches
inline constexpr std::size_t small_max = 32 << 10;       // bytes; larger objects get a span of their own
inline constexpr std::size_t kept_object = 256;          // bytes, of an object that is never freed: a G
inline constexpr std::size_t object_span = 32 << 10;     // bytes; a span holds at least this and eight objects: refills
                                                         // are rare, untouched pages cost nothing
inline constexpr std::size_t object_cache = 32 << 10;    // bytes of freed objects a P keeps per size class
inline constexpr std::size_t stack_span = 2 << 20;       // bytes; what small stacks are cut from: one page-table page
inline constexpr std::size_t stack_large = 1 << 20;      // bytes; from here on a stack is a span of its own
inline constexpr std::size_t stack_cache = 2 << 20;      // bytes of idle slots a P keeps per order
inline constexpr int stack_fresh_batch = 4;              // never used slots taken at a time: each costs a guard, 0.7 us
inline constexpr std::size_t spare_mappings = 8192;      // of vm.max_map_count, left to the program by guards that take some

// ---- locks
inline constexpr int lock_active_spin = 4;        // rounds of lock_active_pause PAUSEs, when there is a second processor
inline constexpr int lock_active_pause = 30;
inline constexpr int mutex_spin_pause = 20;       // PAUSEs of an rt0::mutex before its second try; then four times as many, to 320
inline constexpr int lock_passive_spin = 1;       // rounds of sched_yield before the futex
inline constexpr std::uint32_t spin_nap_min = 10;  // us that a thread naps which spun in vain; doubles each time ...
inline constexpr std::uint32_t spin_nap_max = 200; // ... up to this; a thread that the kernel puts aside is away for some ms

// ---- the retake handshake
inline constexpr int retake_spin = 2000;          // PAUSEs an M waits for a requester's books, about 40 us; then it sleeps

inline constexpr std::int64_t hog_turn = 10'000'000;  // ns; endless loops without a P take turns of this length
inline constexpr int hog_looks = 64;                  // threads without a P that are looked at each turn
inline constexpr std::int64_t hog_sign = 1'000'000;   // ns of processor time from look to look: it may have become a hog
inline constexpr std::int64_t stop_round = 100'000;  // ns between two rounds of a stop-the-world that is not through

// ---- sysmon
inline constexpr std::int64_t sysmon_tick_min = 20'000;      // ns
inline constexpr std::int64_t sysmon_tick_busy = 1'000'000;  // ns; the longest tick while a P runs: a wake-up costs 5 us
inline constexpr std::int64_t sysmon_tick_idle = 10'000'000; // ns; while none does
inline constexpr std::int64_t sysmon_tick_brief = 2'000'000; // ns; the longest of so many ticks after it was asked to look soon
inline constexpr int sysmon_brief_ticks = 8;
inline constexpr int sysmon_calm_ticks = 50;                 // quiet ticks after a P was taken before the tick doubles
inline constexpr std::uint32_t sysmon_watch_ticks = 3;       // short ticks spent on telling whether a goroutine blocks
inline constexpr std::int64_t storm_gap = 1'000'000;         // ns; SM5
inline constexpr std::int64_t sysmon_brief_sleep = 100'000'000;  // ns; woken sooner it should not have slept (SM7); idle memory
                                                                 // is returned after as long
inline constexpr int sysmon_idle_ticks = 10;                 // ticks of 10 ms with every P idle before it sleeps deeply then
inline constexpr std::int64_t stranger_look = 1'000'000'000;       // ns until an idle process, whose last hope is a thread that is
inline constexpr std::int64_t stranger_look_max = 60'000'000'000;  // not rt0's, looks whether there still is one; doubling
inline constexpr std::int64_t waitclock_step = 1'000'000'000;  // ns; dumps give minutes
inline constexpr std::int64_t forced_preempt = 3'000'000;    // ns; a G that has run this long is asked to yield
inline constexpr std::int64_t forced_retake = 4'000'000;     // ns; after this long in user code it loses its P, if work waits:
// well within 10 ms, for sysmon may see the beginning and the end of a slice a tick late each (the beginning of one after a
// moment with every P idle: sysmon_tick_idle late), and it may itself wait for a processor.  Go has 10 ms, where a signal
// brings the hog back in the line; here the thread runs on: it pays once for each stretch without a call.
static_assert(forced_preempt < forced_retake && forced_retake + 2 * sysmon_tick_busy <= 10'000'000);

// ---- sanitizers
inline constexpr std::uint32_t tsan_g0_turns = 16;    // of g0 before it has a new fiber: that takes some us; each turn leaves
                                                      // up to ten frames, which reports show below the true ones

// ---- reports
inline constexpr unsigned report_tick = 1000;         // ms between the watchdog's looks at a report
inline constexpr std::int64_t report_work = 1'000'000;  // ns of a processor between two looks: it does not wait for a lock
#ifdef RT0_ASAN
inline constexpr std::int64_t report_patience = 60'000'000'000;  // as below; reading the program's DWARF takes five times as long
#else
inline constexpr std::int64_t report_patience = 10'000'000'000;  // ns without a frame printed or work done, then addresses only
#endif
inline constexpr std::int64_t stack_wait = 5'000'000'000;  // ns for another thread to hand over its stack; it may be
                                                           // one of thousands that run, or sleep where no signal wakes it
inline constexpr std::int64_t stack_wait_all = 10'000'000'000;  // ns for all that do not

// ---- status words
inline constexpr std::int64_t scan_spin = 5'000;  // ns of busy waiting for a scan to end, then the processor is yielded

// ---- select
inline constexpr int select_inline_cases = 16;    // cases whose sudogs lie on the selecting stack: no allocation

// ---- channels
inline constexpr std::size_t chan_max_bytes = std::size_t{1} << 40;  // a buffer; larger is a mistake in the capacity

}  // namespace rt0::runtime::cfg
