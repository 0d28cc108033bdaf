// Calibration of glibc's thread layout, and threads built to it.  See glibc.h for the
// rules; the fields are those of struct pthread in glibc 2.36 (nptl/descr.h):
//
//   descriptor:  size, list, tid, cancelhandling, specific, report_events, start_routine
//   neighbour of a descriptor, checked in the donor: flags behind cancelhandling,
//                user_stack behind report_events, setxid_futex before joinid (which the
//                donor finds by detaching itself for a moment), arg behind start_routine
//   asked of the kernel:  the robust list's head
//   searched in the donor:  its stack, its signal mask
//
// Found by dlsym in dynamic programs (thread.h says when) and by weak references in static ones, which is
// decided at run time by whether _dl_stack_user is there (in dynamic programs it is a
// field of _rtld_global), so one archive serves both.
#include "kernel_if/glibc.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <unwind.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>

#include "kernel_if/activity.h"
#include "kernel_if/clock.h"
#include "kernel_if/futex.h"
#include "kernel_if/memory.h"
#include "kernel_if/signal.h"
#include "kernel_if/syscall.h"
#include "kernel_if/thread.h"

#if defined(__x86_64__)
#include "arch/amd64/tcb.h"
#else
#include "arch/arm64/tcb.h"
#endif

// The descriptors: bits per element, elements, offset.
struct rt0_db_field {
    std::uint32_t bits, nelem, offset;
};

extern "C" {
// Hidden: bound only to what is linked in, that is libc.a; a dynamic link must not take
// them from libc.so, which would tie the program to its private symbol version.
#define RT0_WEAK __attribute__((weak, visibility("hidden"))) extern
RT0_WEAK void* _dl_allocate_tls(void*);
RT0_WEAK void _dl_deallocate_tls(void*, bool);
RT0_WEAK int __nptl_nthreads;
RT0_WEAK rt0::kernel::glibc_layout::list _dl_stack_user;
RT0_WEAK std::atomic<std::uint32_t> _dl_stack_cache_lock;
RT0_WEAK const rt0_db_field _thread_db_pthread_list, _thread_db_pthread_tid, _thread_db_pthread_start_routine,
    _thread_db_pthread_specific, _thread_db_pthread_cancelhandling, _thread_db_pthread_report_events;
RT0_WEAK const std::uint32_t _thread_db_sizeof_pthread;
RT0_WEAK std::size_t __pthread_get_minstack(const pthread_attr_t*);
#undef RT0_WEAK
__attribute__((weak)) extern const unsigned __rseq_size;
}

namespace rt0::kernel {

namespace {

constexpr std::size_t pthread_max = 8192;        // bytes; struct pthread is 2368 (amd64) and 1856 (arm64) in 2.36
constexpr std::size_t donor_room = 256 << 10;    // bytes beyond glibc's own share
constexpr std::uint32_t flag_stackaddr = 0x8;    // glibc's ATTR_FLAG_STACKADDR
constexpr std::uint32_t flag_do_rseq = 0x80;     // glibc's ATTR_FLAG_DO_RSEQ
// Behind dl_stack_user in _rtld_global: itself, dl_stack_cache, its size, dl_in_flight_stack, then the lock.
constexpr std::uint32_t stack_lock_after = 48;
constexpr std::uint64_t libc_signals = std::uint64_t{3} << 31;  // 32 and 33: cancellation and setuid
// Signal mask of the donor's creator: nobody else's, so that it is found once in the
// donor.  Without KILL and STOP, which no mask keeps, and without libc's own.
constexpr std::uint64_t donor_mask =
    0xa5d7'b3e9'ffff'feff & ~(std::uint64_t{1} << 18) & ~libc_signals;

template <class T>
T peek(const char* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T>
void poke(char* p, T v) {
    std::memcpy(p, &v, sizeof v);
}

// The known facts of a donor, and a copy of its struct pthread while it lived.
struct donor {
    glibc_layout* gl;
    char* pd = nullptr;
    char* tp = nullptr;
    void* start_thread = nullptr;
    long tid = 0;
    std::uint64_t mask = 0;  // of its creator, as the kernel took donor_mask (an emulator drops some signals)
    char* robust = nullptr;  // null: the kernel does not say
    bool listed = false;      // on glibc's list of user stacks
    bool joinable = false;    // detached itself and found the way back
    std::atomic<std::uint32_t> done{0};
    char image[pthread_max];
};

// ---- glibc's lll lock: 0 free, 1 held, 2 held and somebody may sleep ----

void stack_lock(const glibc_layout& gl) {
    std::uint32_t free = 0;
    // ORDER(lll): acquire; pairs with the release in stack_unlock and in glibc's lll_unlock.
    if (gl.stack_lock->compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed)) return;
    // ORDER(lll): acquire; as above.
    while (gl.stack_lock->exchange(2, std::memory_order_acquire) != 0)
        sysc(inject::futex_libc, SYS_futex, gl.stack_lock, FUTEX_WAIT_PRIVATE, 2);
}

void stack_unlock(const glibc_layout& gl) {
    // ORDER(lll): release; pairs with the acquires in stack_lock and in glibc's lll_lock.
    if (gl.stack_lock->exchange(0, std::memory_order_release) == 2)
        sysc_sure(SYS_futex, gl.stack_lock, FUTEX_WAKE_PRIVATE, 1);
}

bool on_list(const glibc_layout& gl, const char* pd) {
    auto* node = reinterpret_cast<const glibc_layout::list*>(pd + gl.list_node);
    stack_lock(gl);
    bool found = false;
    int steps = 0;  // a bound: what we walk may be no list at all
    for (auto* e = gl.stack_user->next; e != gl.stack_user && steps < 100'000 && !found; e = e->next, steps++) {
        if (!e || e->next == nullptr || e->next->prev != e) break;
        found = e == node;
    }
    stack_unlock(gl);
    return found;
}

// ---- the donor ----

// A detached thread holds its own address in joinid: detach the calling thread, see the
// one word that changes, and change it back.
bool find_joinid(donor* d) {
    const std::uint32_t size = d->gl->size;
    if (pthread_detach(pthread_self()) != 0) return false;
    std::uint32_t at = 0;
    for (std::uint32_t o = 0; o + 8 <= size; o += 8)
        if (peek<char*>(d->pd + o) == d->pd && peek<char*>(d->image + o) == nullptr) at = at ? size : o;
    if (at == 0 || at == size) return false;
    d->gl->joinid = at;
    poke(d->pd + at, static_cast<char*>(nullptr));
    return true;
}

__attribute__((noinline)) void* donor_main(void* arg) {
    auto* d = static_cast<donor*>(arg);
    const glibc_layout& gl = *d->gl;
    d->pd = reinterpret_cast<char*>(pthread_self());
    d->tp = arch::thread_pointer();
    d->start_thread = _Unwind_FindEnclosingFunction(__builtin_return_address(0));
    d->tid = sysc_sure(SYS_gettid);
    std::size_t len = 0;
    if (sysc(inject::robust_list, SYS_get_robust_list, 0, &d->robust, &len) != 0) d->robust = nullptr;
    d->listed = on_list(gl, d->pd);
    std::memcpy(d->image, d->pd, gl.size);
    d->joinable = find_joinid(d);
    idle_class_probe();
    // ORDER(donor): release; pairs with the acquire in run_donor.
    d->done.store(1, std::memory_order_release);
    futex_wake(&d->done, 1);
    return nullptr;
}

constexpr std::int64_t donor_look = 10'000'000;  // ns; a wake-up that failed costs that much, not the boot

// The donor stays detached: nobody can tell when its stack and record are free, so they are kept.
constexpr const char* donor_lost = "joinid of the donor";

// Creates and joins the donor, on a stack and with a signal mask that can be recognised.
const char* run_donor(donor* d, char* stack, std::size_t donor_stack) {
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0) return "no thread attributes";
    const char* why = nullptr;
    if (pthread_attr_setstack(&attr, stack, donor_stack) != 0) why = "donor stack refused";
    sigset_t mask = {}, old;
    std::memcpy(&mask, &donor_mask, sizeof donor_mask);
    sigmask_get(&old);
    pthread_t t;
    if (!why) {
        sigmask_set(&mask);
        sigmask_get(&mask);
        std::memcpy(&d->mask, &mask, sizeof d->mask);
        if (injected(inject::libc) || pthread_create(&t, &attr, donor_main, d) != 0) why = "donor thread refused";
        sigmask_set(&old);
    }
    if (!why) {
        // ORDER(donor): acquire; pairs with the release in donor_main.
        while (d->done.load(std::memory_order_acquire) == 0) futex_wait(&d->done, 0, donor_look);
        if (d->joinable)
            pthread_join(t, nullptr);
        else
            why = donor_lost;
    }
    pthread_attr_destroy(&attr);
    return why;
}

// ---- calibration ----

// One check; tests may make the n-th one fail.
bool check(bool ok) { return injected(inject::calibrate) == 0 && ok; }

#define RT0_CHECK(cond, what)           \
    do {                                \
        if (!check(cond)) return what;  \
    } while (0)

constexpr const char* symbol_names[] = {
    "__nptl_nthreads", "_dl_allocate_tls", "_dl_deallocate_tls", "_thread_db_pthread_list", "_thread_db_pthread_tid",
    "_thread_db_pthread_start_routine", "_thread_db_pthread_specific", "_thread_db_pthread_cancelhandling",
    "_thread_db_pthread_report_events", "_thread_db_sizeof_pthread", "_rtld_global", "_thread_db_rtld_global__dl_stack_user",
    "__pthread_get_minstack"};
static_assert(std::size(symbol_names) == std::size(loader_symbols{}.at));
loader_symbols symbols;  // [const] after boot
bool symbols_kept = false;

template <class T>
bool find_symbol(T* out, std::string_view name) {
    const auto* at = std::find(std::begin(symbol_names), std::end(symbol_names), name);
    *out = at == std::end(symbol_names) ? nullptr : reinterpret_cast<T>(symbols.at[at - symbol_names]);
    return *out != nullptr;
}

struct descriptors {
    const rt0_db_field *list, *tid, *start_routine, *specific, *cancelhandling, *report_events;
    const std::uint32_t* size;
};

const char* find_static(glibc_layout* gl, descriptors* db) {
    gl->allocate_tls = _dl_allocate_tls;
    gl->deallocate_tls = _dl_deallocate_tls;
    gl->nthreads = &__nptl_nthreads;
    gl->stack_user = &_dl_stack_user;
    gl->stack_lock = &_dl_stack_cache_lock;
    *db = {&_thread_db_pthread_list,     &_thread_db_pthread_tid,           &_thread_db_pthread_start_routine,
           &_thread_db_pthread_specific, &_thread_db_pthread_cancelhandling, &_thread_db_pthread_report_events,
           &_thread_db_sizeof_pthread};
    RT0_CHECK(gl->allocate_tls && gl->deallocate_tls, "no _dl_allocate_tls in this static program");
    RT0_CHECK(gl->nthreads && gl->stack_lock, "no __nptl_nthreads or _dl_stack_cache_lock in this static program");
    RT0_CHECK(db->list && db->tid && db->start_routine && db->specific && db->cancelhandling && db->report_events &&
                  db->size,
              "no _thread_db descriptors in this static program");
    return nullptr;
}

const char* find_dynamic(glibc_layout* gl, descriptors* db) {
    RT0_CHECK(find_symbol(&gl->nthreads, "__nptl_nthreads"), "no __nptl_nthreads");
    RT0_CHECK(find_symbol(&gl->allocate_tls, "_dl_allocate_tls") && find_symbol(&gl->deallocate_tls, "_dl_deallocate_tls"),
              "no _dl_allocate_tls");
    RT0_CHECK(find_symbol(&db->list, "_thread_db_pthread_list") && find_symbol(&db->tid, "_thread_db_pthread_tid") &&
                  find_symbol(&db->start_routine, "_thread_db_pthread_start_routine") &&
                  find_symbol(&db->specific, "_thread_db_pthread_specific") &&
                  find_symbol(&db->cancelhandling, "_thread_db_pthread_cancelhandling") &&
                  find_symbol(&db->report_events, "_thread_db_pthread_report_events") &&
                  find_symbol(&db->size, "_thread_db_sizeof_pthread"),
              "no _thread_db descriptors");
    char* rtld = nullptr;
    const rt0_db_field* user = nullptr;
    RT0_CHECK(find_symbol(&rtld, "_rtld_global") && find_symbol(&user, "_thread_db_rtld_global__dl_stack_user"),
              "no _rtld_global or no descriptor of its dl_stack_user");
    gl->stack_user = reinterpret_cast<glibc_layout::list*>(rtld + user->offset);
    const volatile auto* cache = gl->stack_user + 1;
    gl->stack_lock = reinterpret_cast<std::atomic<std::uint32_t>*>(rtld + user->offset + stack_lock_after);
    const volatile auto* in_flight = reinterpret_cast<std::uintptr_t*>(gl->stack_lock) - 1;
    // Threads of the program's own may begin and end meanwhile, and change both under glibc's lock, which is not known to be one.
    const auto is_cache = [&] { return cache->next && cache->prev && cache->next->prev == cache && cache->prev->next == cache; };
    for (int i = 0; i < 100 && !(is_cache() && *in_flight == 0); i++) osyield();
    RT0_CHECK(is_cache(), "dl_stack_cache does not follow dl_stack_user");
    RT0_CHECK(*in_flight == 0, "dl_in_flight_stack does not precede the lock");
    return nullptr;
}

const char* place_fields(glibc_layout* gl, const descriptors& db, const char* self) {
    gl->size = *db.size;
    RT0_CHECK(gl->size >= 512 && gl->size <= pthread_max && gl->size % 8 == 0, "size of struct pthread out of bounds");
    for (const rt0_db_field* f : {db.list, db.tid, db.start_routine, db.specific, db.cancelhandling, db.report_events})
        RT0_CHECK(f->offset + sizeof(void*) <= gl->size, "a descriptor points outside struct pthread");
    RT0_CHECK(db.tid->bits == 32 && db.cancelhandling->bits == 32 && db.report_events->bits == 8 &&
                  db.start_routine->bits == 64,
              "a descriptor has an unexpected width");
    gl->list_node = db.list->offset;
    gl->tid = db.tid->offset;
    gl->cancel = db.cancelhandling->offset;
    gl->flags = gl->cancel + 4;
    gl->specific = db.specific->offset;
    gl->report = db.report_events->offset;
    gl->user_stack = gl->report + 1;
    gl->setxid_futex = gl->report + 11;
    gl->start_routine = db.start_routine->offset;
    gl->arg = gl->start_routine + 8;
    RT0_CHECK((arch::tcb_at_tp ? self : self + gl->size) == arch::thread_pointer(),
              "the thread pointer is not where the ABI puts it");
    RT0_CHECK(peek<std::int32_t>(self + gl->tid) == sysc_sure(SYS_gettid), "tid of the initial thread");
    auto block = static_cast<std::size_t>(peek<char*>(self + gl->specific) - self);
    RT0_CHECK(block < gl->size, "specific[0] of the initial thread");
    gl->first_block = static_cast<std::uint32_t>(block);
    char* head = nullptr;
    std::size_t len = 0;
    if (sysc(inject::robust_list, SYS_get_robust_list, 0, &head, &len) == 0)
        gl->robust = static_cast<std::uint32_t>(head - self);
    else  // qemu-user
        gl->robust = ((gl->tid + 4 + 7) & ~7u) + 8;
    RT0_CHECK(gl->robust >= 8 && gl->robust + 24 <= gl->size, "robust list of the initial thread");
    gl->robust_futex_offset = peek<std::int64_t>(self + gl->robust + 8);
    return nullptr;
}

// The only offset, a multiple of 8, where `bytes` stand in the image; 0 when none or several.
std::uint32_t search(const donor& d, std::uint32_t size, const void* bytes, std::size_t n) {
    std::uint32_t at = 0;
    for (std::uint32_t o = 8; o + n <= size; o += 8) {
        if (std::memcmp(d.image + o, bytes, n) != 0) continue;
        if (at) return 0;
        at = o;
    }
    return at;
}

const char* check_donor(glibc_layout* gl, const donor& d, char* stack, std::size_t donor_stack, const char* self) {
    const char* im = d.image;
    RT0_CHECK(peek<void*>(im + gl->start_routine) == reinterpret_cast<void*>(donor_main), "start_routine of the donor");
    RT0_CHECK(peek<const void*>(im + gl->arg) == &d, "arg of the donor");
    RT0_CHECK(d.start_thread != nullptr, "start_thread not found by unwinding");
    RT0_CHECK(peek<std::int32_t>(im + gl->tid) == d.tid, "tid of the donor");
    RT0_CHECK((arch::tcb_at_tp ? d.pd : d.pd + gl->size) == d.tp, "thread pointer of the donor");
    RT0_CHECK(!d.robust || d.robust == d.pd + gl->robust, "robust list of the donor");
    char* head = d.pd + gl->robust;
    RT0_CHECK(peek<char*>(im + gl->robust) == head && peek<char*>(im + gl->robust - 8) == head,
              "robust list of the donor does not point to itself");
    RT0_CHECK(peek<std::int64_t>(im + gl->robust + 8) == gl->robust_futex_offset, "futex offset of the donor");
    RT0_CHECK(peek<char*>(im + gl->specific) == d.pd + gl->first_block, "specific[0] of the donor");
    RT0_CHECK(im[gl->report] == 0 && im[gl->user_stack] == 1 && im[gl->user_stack + 1] == 0,
              "report_events, user_stack, stopped_start of the donor");
    RT0_CHECK(gl->joinid == gl->setxid_futex + 4 && peek<std::uint32_t>(im + gl->setxid_futex) == 0,
              "setxid_futex of the donor");
    RT0_CHECK(d.listed, "the donor is not on dl_stack_user");
    const std::uintptr_t block[] = {reinterpret_cast<std::uintptr_t>(stack), donor_stack};
    gl->stackblock = search(d, gl->size, block, sizeof block);
    RT0_CHECK(gl->stackblock != 0, "stackblock of the donor");
    gl->sigmask = search(d, gl->size, &d.mask, sizeof d.mask);
    RT0_CHECK(d.mask != 0 && gl->sigmask != 0, "sigmask of the donor");
    gl->sigmask_value = ~libc_signals;  // else setuid would wait for this thread for ever
    gl->flags_value = peek<std::uint32_t>(im + gl->flags);
    RT0_CHECK(gl->flags_value & flag_stackaddr, "flags of the donor");
    RT0_CHECK(!&__rseq_size || ((gl->flags_value & flag_do_rseq) != 0) == (__rseq_size != 0), "rseq flag of the donor");
    gl->multiple_threads_value = peek<std::uint32_t>(im + arch::tcb_multiple_threads);
    for (std::size_t o : arch::tcb_self) RT0_CHECK(peek<char*>(im + o) == d.pd, "self pointer of the donor");
    for (std::size_t o : arch::tcb_inherited)
        RT0_CHECK(peek<std::uint64_t>(im + o) == peek<std::uint64_t>(self + o), "guards of the donor");
    gl->start_thread = reinterpret_cast<int (*)(void*)>(d.start_thread);
    return nullptr;
}

#undef RT0_CHECK

}  // namespace

loader_symbols look_up_symbols() {
    loader_symbols found;
    const bool linked_in = &_dl_stack_user;
    for (std::size_t i = 0; i < std::size(symbol_names) && !linked_in; i++) found.at[i] = dlsym(RTLD_DEFAULT, symbol_names[i]);
    return found;
}
void keep_symbols(const loader_symbols& found) {
    symbols = found;
    symbols_kept = true;
}
void need_symbols() {
    if (!symbols_kept) keep_symbols(look_up_symbols());
}

std::size_t pthread_share() {
    auto* f = &__pthread_get_minstack;
    if (!f) find_symbol(&f, "__pthread_get_minstack");
    pthread_attr_t attr = {};  // it looks at what is loaded alone
    return f ? f(&attr) : 0;
}

const char* glibc_calibrate(glibc_layout* gl) {
    *gl = {};
    descriptors db = {};
    auto* self = reinterpret_cast<const char*>(pthread_self());
    if (const char* why = &_dl_stack_user ? find_static(gl, &db) : find_dynamic(gl, &db)) return why;
    if (const char* why = place_fields(gl, db, self)) return why;
    const std::size_t donor_stack = std::bit_ceil(donor_room + pthread_share());
    void* stack = sys_reserve(donor_stack, donor_stack);
    auto* d = injected(inject::libc) ? nullptr : static_cast<donor*>(std::calloc(1, sizeof(donor)));
    const char* why = "no memory for the donor";
    if (stack && d) {
        d->gl = gl;
        why = run_donor(d, static_cast<char*>(stack), donor_stack);
        if (!why) why = check_donor(gl, *d, static_cast<char*>(stack), donor_stack, self);
    }
    if (why != donor_lost) {
        std::free(d);
        if (stack) sys_free(stack, donor_stack);
    }
    if (!why && __libc_single_threaded) why = "glibc is still in single-threaded mode";
    return why;
}

int glibc_end_single_threaded() {
    if (int e = injected(inject::libc)) return e;
    pthread_t t;
    int e = pthread_create(&t, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
    if (e != 0) return -e;
    pthread_join(t, nullptr);
    return 0;
}

char* glibc_thread_new(const glibc_layout& gl, void* (*start)(void*), void* arg, void* stack_lo,
                       std::size_t stack_size) {
    if (injected(inject::tls_alloc)) return nullptr;
    auto* tcb = static_cast<char*>(gl.allocate_tls(nullptr));  // zeroed but for the TLS blocks and their vector
    if (!tcb) return nullptr;
    char* pd = arch::tcb_at_tp ? tcb : tcb - gl.size;
    const char* self = glibc_thread_self(gl);
    for (std::size_t o : arch::tcb_self) poke(pd + o, pd);
    for (std::size_t o : arch::tcb_inherited) poke(pd + o, peek<std::uint64_t>(self + o));
    poke(pd + arch::tcb_multiple_threads, gl.multiple_threads_value);
    poke(pd + gl.specific, pd + gl.first_block);
    poke(pd + gl.start_routine, start);
    poke(pd + gl.arg, arg);
    poke(pd + gl.user_stack, std::uint8_t{1});
    poke(pd + gl.flags, gl.flags_value);
    poke(pd + gl.setxid_futex, std::int32_t{-1});  // not cloned yet; start_thread sets 0
    poke(pd + gl.robust - 8, pd + gl.robust);
    poke(pd + gl.robust, pd + gl.robust);
    poke(pd + gl.robust + 8, gl.robust_futex_offset);
    poke(pd + gl.stackblock, stack_lo);
    poke(pd + gl.stackblock + 8, stack_size);
    poke(pd + gl.sigmask, gl.sigmask_value);
    return pd;
}

void glibc_thread_free(const glibc_layout& gl, char* pd) {
    gl.deallocate_tls(arch::tcb_at_tp ? pd : pd + gl.size, true);
}

void glibc_thread_enlist(const glibc_layout& gl, char* pd) {
    auto* e = reinterpret_cast<glibc_layout::list*>(pd + gl.list_node);
    stack_lock(gl);
    e->next = gl.stack_user->next;
    e->prev = gl.stack_user;
    gl.stack_user->next->prev = e;
    gl.stack_user->next = e;
    stack_unlock(gl);
    // relaxed: a count; the last thread out of it calls exit().
    __atomic_fetch_add(gl.nthreads, 1, __ATOMIC_RELAXED);
}

void glibc_thread_delist(const glibc_layout& gl, char* pd, bool ran) {
    auto* e = reinterpret_cast<glibc_layout::list*>(pd + gl.list_node);
    if (!ran) {
        // A setuid in progress may wait for this thread to start: let it go (glibc does the same when clone fails).
        auto* setxid = reinterpret_cast<std::atomic<std::int32_t>*>(pd + gl.setxid_futex);
        // relaxed: the value is the whole message.
        if (setxid->exchange(0, std::memory_order_relaxed) == -2) sysc_sure(SYS_futex, setxid, FUTEX_WAKE_PRIVATE, 1);
        __atomic_fetch_sub(gl.nthreads, 1, __ATOMIC_RELAXED);  // relaxed: as in enlist
    }
    stack_lock(gl);
    e->next->prev = e->prev;
    e->prev->next = e->next;
    stack_unlock(gl);
}

char* glibc_thread_self(const glibc_layout& gl) { return arch::thread_pointer() - (arch::tcb_at_tp ? 0 : gl.size); }

void* glibc_thread_pointer(const glibc_layout& gl, char* pd) { return arch::tcb_at_tp ? pd : pd + gl.size; }

}  // namespace rt0::kernel
