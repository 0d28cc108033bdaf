// Ms: made by allocm and newm, run by mstart, ended by mend, buried by bury_freem.
//
//   MS1  An M's stacks and TLS are freed only after the kernel has let go of its thread
//        (thread_gone): mend puts it on sched.freem, the template thread buries it.  Until
//        then it stays on allm.
//   MS2  An m is never freed but reused, so that who found it on allm may still read it.
//   MS3  A thread starts with all signals blocked and opens its mask when it has a
//        signal stack and a g.
#include "sched/mstart.h"

#include <bit>
#include <cerrno>
#include <cxxabi.h>
#include <new>
#include <utility>

#include "base/chaos.h"
#include "base/forked.h"
#include "base/throw.h"
#include "kernel_if/clock.h"
#include "kernel_if/memory.h"
#include "kernel_if/signal.h"
#include "kernel_if/sys.h"
#include "sched/checkdead.h"
#include "sched/lists.h"
#include "sched/pidle.h"
#include "sched/retake.h"
#include "sched/schedule.h"
#include "sched/signal.h"
#include "sched/switch.h"
#include "sched/sysmon.h"
#include "sched/template.h"

namespace rt0::runtime {

namespace {

constexpr std::size_t mstart_gap = 4096;  // bytes between mstart's frame and where mcall starts: its own frame fits many times

m* dead_ms GUARDED_BY(sched.lock) = nullptr;  // m structs to reuse, MS2 [lock:sched]

// The Ms on freem whose threads are gone for good (MS1), linked by freelink; *left: others are not.
m* take_gone(bool* left) {
    m *all, *gone = nullptr, *stay = nullptr;
    {
        guard l(sched.lock);
        all = std::exchange(sched.freem, nullptr);
    }
    m** last = &stay;
    while (m* mp = all) {  // without the lock: to join a thread glibc frees memory
        all = mp->freelink;
        if (mp->is_extra || kernel::thread_gone(&mp->thread)) {  // an extra M's thread is not ours
            mp->freelink = gone;
            gone = mp;
        } else {
            *last = mp;
            last = &mp->freelink;
        }
    }
    guard l(sched.lock);
    *last = sched.freem;
    sched.freem = stay;
    *left = sched.freem != nullptr;
    return gone;
}

// Gives back what an m owns, but for the struct and its system gs (MS2).  It is off allm and has no thread.
void free_m(m* mp) {
    san_g0_dead(mp);
    if (mp->g0stack.slot) stackfree(current_mcache(), mp->g0stack);
    if (mp->gsigstack.slot) stackfree(current_mcache(), mp->gsigstack);
    mp->g0stack = mp->gsigstack = {};
    guard l(sched.lock);
    mp->freelink = dead_ms;
    dead_ms = mp;
}

m* reuse_m() {
    guard l(sched.lock);
    m* mp = dead_ms;
    if (mp) dead_ms = mp->freelink;
    return mp;
}

// What was left to do is done: the slot that was given up is anybody's.
void slot_is_free() {
    if (getg()) room_for_m();  // else a foreign thread has left the runtime, with an M that took no slot
    guard l(sched.lock);
    sched.nmidlelocked++;
    checkdead();
}

void munreserve(bool extra) {
    give_slot_up(extra);
    slot_is_free();
}

// A g of the system for mp on s; *reuse: the g of an M that ended, or null.  False: no memory.
bool system_g(g** reuse, m* mp, const stack& s) {
    if (!s.slot || (!*reuse && !(*reuse = static_cast<g*>(rtalloc_g())))) return false;
    g* gp = new (*reuse) g;
    gp->mp = mp;
    gp->stk = s;
    gp->is_system = true;
    return true;
}

// Where ms are carved from (FO3); never given back.
char* block_next GUARDED_BY(sched.lock) = nullptr;
std::size_t block_left GUARDED_BY(sched.lock) = 0;
constexpr std::size_t m_stride = (sizeof(m) + 63) / 64 * 64;  // bytes

void* carve_m() {
    guard l(sched.lock);
    if (block_left < m_stride) return nullptr;
    block_left -= m_stride;
    return std::exchange(block_next, block_next + m_stride);
}

// Zeroed; null: no memory.
void* room_for_m() {
    for (;;) {
        if (void* room = carve_m()) return room;
        void* block = kernel::sys_reserve(cfg::m_block, cfg::m_block);
        if (!block) return nullptr;
        kernel::sys_wipeonfork(block, cfg::m_block);  // an error: FO3's exception
        guard l(sched.lock);
        block_next = static_cast<char*>(block);  // what another thread had brought meanwhile is lost
        block_left = cfg::m_block;
    }
}

// A struct for an m, new or another's before.  Keeps the system gs.
m* new_m() {
    m* mp = reuse_m();
    g* old_g0 = mp ? mp->g0 : nullptr;
    g* old_gsignal = mp ? mp->gsignal : nullptr;
    if (mp) mp->~m();
    else if (!(mp = static_cast<m*>(room_for_m()))) return nullptr;
    new (mp) m;
    mp->g0 = old_g0;
    mp->gsignal = old_gsignal;
    return mp;
}

std::int64_t reserve_id(bool extra) {
    guard l(sched.lock);
    if (!extra) return mreserveid();
    sched.nmextra++;
    return sched.mnext++;
}

std::size_t g0_stack_size() { return std::bit_ceil(cfg::g0_stack + kernel::thread_stack_share()); }

// allocm, but says what is missing: 0, -ENOSPC for the thread limit, -ENOMEM.
int try_allocm(void (*fn)(), bool extra, std::int64_t id, m** out) {
    if (id < 0 && (id = reserve_id(extra)) < 0) return -ENOSPC;
    m* mp = new_m();
    if (mp) {
        mp->id = id;
        mp->mstartfn = fn;
        mp->is_extra = extra;
        mp->g0stack = stackalloc(current_mcache(), g0_stack_size());
        if (system_g(&mp->g0, mp, mp->g0stack) && mcommoninit(mp)) {
            *out = mp;
            return 0;
        }
        free_m(mp);
    }
    munreserve(extra);
    return -ENOMEM;
}

}  // namespace

bool bury_freem() {
    if (panicking.load(memory_order_relaxed)) return false;  // relaxed: as in reclaim_retired, which keeps lists for the report
    bool left;
    m* gone = take_gone(&left);
    if (!allm_remove(gone)) {  // no memory: next time
        guard l(sched.lock);
        while (m* mp = gone) {
            gone = mp->freelink;
            mp->freelink = sched.freem;
            sched.freem = mp;
        }
        return true;
    }
    if (gone) {
        await_readers();  // by itself: sysmon may have taken what was retired, and still wait
        reclaim_retired();
    }
    { guard l(retakelock); }  // RK6
    const bool any = gone != nullptr;
    while (m* mp = gone) {
        gone = mp->freelink;
        if (!mp->is_extra) kernel::thread_reap(&mp->thread);
        free_m(mp);
    }
    if (any) checkdead_later();  // what was left of them counted as strangers
    return left;
}

m* allocm(void (*fn)(), bool extra, std::int64_t id) {
    m* mp = nullptr;
    int error = try_allocm(fn, extra, id, &mp);
    if (error == -ENOSPC) {
        sched.lock.lock();
        exhausted();
    }
    if (error) out_of_memory("the stacks of a new thread");
    return mp;
}

bool mcommoninit(m* mp) {
    std::uint64_t seed =
        static_cast<std::uint64_t>(kernel::nanotime()) ^ (static_cast<std::uint64_t>(mp->id) + 1) * 0x9E3779B97F4A7C15ull;
    if (mp->rand == 0) mp->rand = seed ? seed : 1;
    mp->retake.store(retake_initial(), memory_order_relaxed);  // relaxed: nobody knows it yet
    mp->gsigstack = stackalloc(current_mcache(), cfg::gsignal_stack);
    if (!system_g(&mp->gsignal, mp, mp->gsigstack) || !allm_add(mp)) return false;
    // ORDER(exit): seq_cst; process_exit sets the flag and then walks allm: one of us sees the other.
    if (sched.exiting.load(memory_order_seq_cst)) mp->retake.fetch_or(rt_exiting, memory_order_seq_cst);
    return true;
}

void minit(m* mp) {
    mp->tid = kernel::gettid();
    chaos_stream(mp->id);
    if (chaos_seed()) mp->rand = chaos_draw() | 1;
    san_thread(mp);
    mp->eh = reinterpret_cast<eh_globals*>(abi::__cxa_get_globals());
    rcu_thread_enter();
    minit_signal_stack(mp);
    if (mp->is_extra) return;  // a foreign thread keeps its timer slack
    kernel::set_timer_slack(1);  // timed futex waits would overshoot by 50 us
}

namespace {

void mstart1(void* arg) {
    m* mp = static_cast<m*>(arg);
    if (mp->mstartfn) mp->mstartfn();
    if (mp->nextp) {
        acquirep(mp->nextp);
        mp->nextp = nullptr;
    } else if (!mp->pp) {
        stopm();  // a spare M
    }
    schedule();
}

void mthread(void* arg) {
    m* mp = static_cast<m*>(arg);
    setg(mp->g0);
    minit(mp);
    textbuf name;
    name << "rt0-M" << mp->id;
    kernel::set_thread_name(name.c_str());
    kernel::sigmask_set(&m0.sigmask);  // MS3
    mstart(mp);
    setg(nullptr);  // thread_local destructors run as on a thread the runtime does not know
}

}  // namespace

[[gnu::noinline]] void mstart(m* mp) {
    std::uintptr_t here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    mp->g0sp = (here - mstart_gap) & ~(arch::stack_align - 1);
    mp->g0->sched.sp = mp->g0sp;
    san_g0_enter(mp);
    rt0_mcall(&mp->mstartctx, mp->g0sp, mstart1, mp);
}

namespace {
int try_thread_of(m* mp) {
    return kernel::thread_create(&mp->thread, mthread, mp, reinterpret_cast<void*>(mp->g0stack.lo),
                                 mp->g0stack.hi - mp->g0stack.lo);
}
}  // namespace

void start_thread_of(m* mp) {
    int rc = 0;
    for (int i = 0; i < cfg::clone_retries; i++) {
        rc = try_thread_of(mp);
        if (rc != -EAGAIN) break;
        kernel::usleep(1000u * static_cast<unsigned>(i + 1));  // limits may be shared with processes that come and go
    }
    if (rc == 0) return;
    int have;
    {
        guard l(sched.lock);
        have = mcount() - 1;
    }
    textbuf t;
    t << "runtime: failed to create new OS thread (have " << have << " already; errno=" << -rc << ")\n";
    if (rc == -EAGAIN) t << "runtime: may need to increase max user processes (ulimit -u)\n";
    if (rc == -ENOMEM) t << "runtime: may need to increase memory (" << memory_limits << ")\n";
    runtime_throw(t, "newosproc");
}

void newm(void (*fn)(), p* pp, std::int64_t id) {
    forked_child_check();
    m* mp = allocm(fn, false, id);
    mp->nextp = pp;
    hand_newm_off(mp);
}

// Without a thread, and on allm still: none that checkdead waits for, or takes a thread to be its.
static void count_stillborn(m* mp, bool is) REQUIRES(sched.lock) {
    mp->ended = is;
    sched.nmsys += is ? 1 : -1;
}

int newm_spare() {
    static m* stillborn = nullptr;  // of an earlier try [own by the template thread]
    m* mp = stillborn;
    if (!mp)
        if (int error = try_allocm(nullptr, false, -1, &mp)) return error;
    mp->spare = true;
    {
        guard l(sched.lock);
        if (stillborn) count_stillborn(mp, false);
        stillborn = nullptr;
        sched.nmcoming++;
    }
    int rc = try_thread_of(mp);
    if (rc == 0) return 0;
    {
        guard l(sched.lock);
        sched.nmcoming--;
    }
    // Off the list before it is off the count: checkdead must not take another thread for this one.
    if (allm_remove(mp)) {
        free_m(mp);
        munreserve(false);
    } else {
        stillborn = mp;
        guard l(sched.lock);
        count_stillborn(mp, true);
        checkdead();  // somebody may have looked for the last time
    }
    return rc;
}

void newm_sysmon() {
    start_thread_of(allocm(sysmon));
}

void mexit() {
    m* mp = getg()->mp;
    give_slot_up();
    handoffp(releasep());
    if (mp == &m0) {  // the initial thread must outlive the others: it sleeps for good
        slot_is_free();
        for (;;) notesleep(&mp->park);
    }
    mend();
}

void give_slot_up(bool extra) {
    guard l(sched.lock);
    sched.nmfreed++;
    sched.nmextra -= extra;
    sched.nmidlelocked--;
}

void to_freem(m* mp) {
    {
        guard l(sched.lock);
        mp->ended = true;
        mp->freelink = sched.freem;
        sched.freem = mp;
    }
    slot_is_free();
    order_burial();
}

void mend() {
    m* mp = getg()->mp;
    // Not the thread library's two: destructors of thread_locals come next, and glibc's end of a thread waits for 33 where somebody
    // calls setuid.
    kernel::sigmask_block(nullptr);
    kernel::sigaltstack_set(nullptr, 0);
    to_freem(mp);
    rcu_thread_leave();
    san_g0_leave(mp);
    rt0_gogo(&mp->mstartctx);  // out of mstart, the thread ends
}

int mlimit() { return sched.maxmcount.load(memory_order_relaxed); }  // relaxed: sysmon and who sets it look again

bool below_mlimit() {
    guard l(sched.lock);
    return mlimited() < mlimit();
}

std::int64_t mreserveid() { return mlimited() < mlimit() ? sched.mnext++ : -1; }

void exhausted() {
    textbuf t;
    t << "runtime: program exceeds " << mlimit() << "-thread limit\n"
      << "runtime: may need to raise it (rt0::set_max_threads)\n";
    sched.lock.unlock();  // the report may wait for another's
    runtime_throw(t, "thread exhaustion");
}

void checkmcount() {
    if (mlimited() > mlimit()) exhausted();
}

int mcount() { return static_cast<int>(sched.mnext - sched.nmfreed); }
int mlimited() { return mcount() - sched.nmextra; }

}  // namespace rt0::runtime
