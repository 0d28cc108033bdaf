// What programs do in threads, done in ten threads of kernel_if at once, in both kinds:
// malloc across threads, stdio, iostream, exceptions, thread_local and TSD with
// destructors, locale, errno, pthread mutexes, semaphores, std::thread, dlopen of
// libraries with TLS (also initial-exec), getaddrinfo, strerror, time zones.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <atomic>
#include <cctype>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/kthreads.h"

using namespace rt0::kernel;

namespace {

constexpr int threads = 10;
const int rounds = test::sanitized ? 20 : 100;

std::atomic<int> failures, tl_ctors, tl_dtors, tsd_dtors;
#define CK(x)                                                                              \
    do {                                                                                   \
        if (!(x)) {                                                                        \
            failures++;                                                                    \
            std::fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #x, errno); \
        }                                                                                  \
    } while (0)

struct tl_object {
    std::string s = std::string(50, 'q');
    tl_object() { tl_ctors++; }
    ~tl_object() {
        CK(s == std::string(50, 'q'));
        tl_dtors++;
    }
};
thread_local tl_object tl;
thread_local int tl_int = 31;
alignas(64) thread_local char tl_aligned[64];

pthread_key_t keys[41];  // more than fit the first block of TSD
pthread_mutex_t recursive, checked, robust;
sem_t four;
FILE* null_file;
std::mutex pool_mutex;
std::vector<void*> pool;
std::ostringstream shared_stream;
std::mutex shared_stream_mutex;

// Two libraries with one thread_local int each, initial value `start`.
struct tls_library {
    void* handle = nullptr;
    int start = 0;
    int (*get)() = nullptr;
    void (*set)(int) = nullptr;
};
tls_library dynamic_model, initial_exec;
std::atomic<bool> loaded{false};

void heap_across_threads(std::mt19937& rng, int id) {
    for (int k = 0; k < 20; k++) {
        std::size_t n = rng() % (k == 0 ? 200'000 : 2'000) + 1;
        auto* p = static_cast<char*>(std::malloc(n));
        std::memset(p, id, n);
        void* other = nullptr;
        {
            std::lock_guard lock(pool_mutex);
            pool.push_back(p);
            if (pool.size() > 200) {
                std::size_t j = rng() % pool.size();
                other = pool[j];
                pool[j] = pool.back();
                pool.pop_back();
            }
        }
        std::free(other);
    }
}

void stdio_and_streams(int id, int i) {
    errno = 1000 + id;
    std::fprintf(null_file, "%d %s %f %.40Lf\n", id, "aaaa", 1.5 * i, 1.25L);
    CK(errno == 1000 + id);
    CK(open("/nonexistent", O_RDONLY) == -1 && errno == ENOENT);
    std::ostringstream o;
    o << id << ' ' << 3.25 << ' ' << std::hex << 255;
    CK(o.str() == std::to_string(id) + " 3.25 ff");
    std::istringstream in("42 4.5 word");
    int a = 0;
    double b = 0;
    std::string c;
    CK(in >> a >> b >> c && a == 42 && b == 4.5 && c == "word");
    std::lock_guard lock(shared_stream_mutex);
    shared_stream << o.str();
    std::cout << "" << std::flush;
}

void thrower(int depth) {
    tl_object local;
    if (depth == 0) throw std::runtime_error("boom" + std::to_string(depth));
    thrower(depth - 1);
}

void exceptions() {
    try {
        thrower(5);
        CK(false);
    } catch (const std::exception& e) {
        CK(std::string(e.what()) == "boom0");
        try {
            throw 42;
        } catch (int v) {
            CK(v == 42);
        }
        CK(std::uncaught_exceptions() == 0);
        std::exception_ptr p = std::current_exception();
        try {
            std::rethrow_exception(p);
        } catch (const std::runtime_error&) {
        }
    }
}

void locale_and_time() {
    CK(std::isalpha('x') && !std::isalpha('1') && std::toupper('q') == 'Q' && std::strtod("2.5e3", nullptr) == 2500.0);
    CK(std::strcoll("a", "b") < 0);
    std::time_t t = 86400 * 365;
    std::tm tm;
    localtime_r(&t, &tm);
    CK(tm.tm_year == 71 || tm.tm_year == 70);
    if (test::sanitized) return;  // glibc's own locks in there are unknown to ThreadSanitizer
    locale_t c = newlocale(LC_ALL_MASK, "C.UTF-8", nullptr);
    CK(c != nullptr);
    locale_t old = uselocale(c);
    CK(std::mbstowcs(nullptr, "\xc3\xa4", 0) == 1);
    uselocale(old);
    freelocale(c);
}

void locks() {
    CK(pthread_mutex_lock(&recursive) == 0 && pthread_mutex_lock(&recursive) == 0);
    CK(pthread_mutex_unlock(&recursive) == 0 && pthread_mutex_unlock(&recursive) == 0);
    if (!test::sanitized) {  // ThreadSanitizer reports the deliberate misuse
        CK(pthread_mutex_lock(&checked) == 0 && pthread_mutex_lock(&checked) == EDEADLK);
        CK(pthread_mutex_unlock(&checked) == 0 && pthread_mutex_unlock(&checked) == EPERM);
    }
    CK(pthread_mutex_lock(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
    sem_wait(&four);
    sem_post(&four);
    CK(std::this_thread::get_id() == std::thread::id(pthread_self()));
}

void dear_things(std::string& errors) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    std::thread([] { CK(tl.s.size() == 50); }).join();
    addrinfo* r = nullptr;
    CK(getaddrinfo("localhost", "80", nullptr, &r) == 0);
    if (r) freeaddrinfo(r);
    CK(dlsym(RTLD_DEFAULT, "no_such_symbol_anywhere") == nullptr && dlerror());
    void* m = dlopen("libm.so.6", RTLD_NOW);
    CK(m && dlsym(m, "cos") && dlclose(m) == 0);
    errors = std::strerror(9999);
    CK(errors.find("9999") != std::string::npos);
}

void libraries(int id) {
    for (auto* lib : {&dynamic_model, &initial_exec}) {
        if (!lib->handle) continue;
        CK(lib->get() == lib->start);
        lib->set(id);
        CK(lib->get() == id);
    }
}

void work(void* arg) {
    int id = static_cast<int>(reinterpret_cast<std::intptr_t>(arg));
    std::mt19937 rng(static_cast<unsigned>(id + 1));
    CK(tl_int == 31);
    tl_int = id;
    CK(tl.s.size() == 50 && reinterpret_cast<std::uintptr_t>(tl_aligned) % 64 == 0);
    for (auto k : keys) pthread_setspecific(k, std::malloc(3));
    std::string errors;
    bool saw_libraries = false;
    for (int i = 0; i < rounds || !saw_libraries; i++) {
        heap_across_threads(rng, id);
        stdio_and_streams(id, i);
        exceptions();
        locale_and_time();
        locks();
        if (i % 10 == 0) dear_things(errors);
        if (loaded && !saw_libraries) saw_libraries = true, libraries(id);
        CK(tl_int == id && pthread_getspecific(keys[40]));
    }
}

// Compiles and loads; without a compiler at hand the library part is left out.
void load(const std::string& dir, const char* name, const char* model, tls_library* lib, int start) {
    std::string src = dir + "/" + name + ".c", so = dir + "/" + name + ".so";
    std::ofstream(src) << "__thread int v = " << start << "; int get(void) { return v; } void set(int x) { v = x; }\n";
    std::string cmd = "cc -shared -fPIC -ftls-model=" + std::string(model) + " " + src + " -o " + so + " 2>/dev/null";
    if (std::system(cmd.c_str()) != 0) return;
    lib->handle = dlopen(so.c_str(), RTLD_NOW);
    CK(lib->handle != nullptr);
    if (!lib->handle) return;
    lib->start = start;
    lib->get = reinterpret_cast<int (*)()>(dlsym(lib->handle, "get"));
    lib->set = reinterpret_cast<void (*)(int)>(dlsym(lib->handle, "set"));
}

void prepare() {
    failures = tl_ctors = tl_dtors = tsd_dtors = 0;
    null_file = std::fopen("/dev/null", "w");
    sem_init(&four, 0, 4);
    for (auto& k : keys) ASSERT_EQ(pthread_key_create(&k, [](void* p) { std::free(p), tsd_dtors++; }), 0);
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&recursive, &a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&checked, &a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_NORMAL);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &a);
    loaded = false;
    dynamic_model = initial_exec = {};
}

void finish() {
    for (auto k : keys) pthread_key_delete(k);
    for (void* p : pool) std::free(p);
    pool.clear();
    std::fclose(null_file);
}

void stress(thread_kind kind) {
    const char* why = nullptr;
    if (test::use_threads(kind, &why) != kind) GTEST_SKIP() << why;
    alarm(300);
    prepare();
    char dir[] = "/tmp/rt0_stress_XXXXXX";
    ASSERT_NE(mkdtemp(dir), nullptr);
    {
        std::unique_ptr<test::kthread_on_stack> ts[threads];
        for (int i = 0; i < threads; i++) {
            ts[i] = std::make_unique<test::kthread_on_stack>(std::size_t{1} << 20 << 2 * test::sanitized);
            ASSERT_EQ(ts[i]->start(work, reinterpret_cast<void*>(std::intptr_t{i})), 0);
        }
        load(dir, "dynamic", "global-dynamic", &dynamic_model, 4242);
        load(dir, "static", "initial-exec", &initial_exec, 777);  // glibc writes it into every listed thread
        loaded = true;
    }
    std::filesystem::remove_all(dir);
    finish();
    EXPECT_EQ(failures, 0);
    EXPECT_EQ(tl_ctors, tl_dtors);
    EXPECT_EQ(tsd_dtors, threads * 41);
    alarm(0);
}

TEST(ThreadStress, Raw) { stress(thread_kind::raw_clone); }
TEST(ThreadStress, Pthread) { stress(thread_kind::pthread); }

// A robust mutex whose owner's thread ends: the kernel finds it through the robust list.
TEST(ThreadStress, RobustMutexOfADeadThread) {
    for (auto kind : {thread_kind::raw_clone, thread_kind::pthread}) {
        if (test::use_threads(kind) != kind) continue;
        prepare();
        {
            test::kthread_on_stack t;
            ASSERT_EQ(t.start([](void*) { pthread_mutex_lock(&robust); }, nullptr), 0);
        }
        EXPECT_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
        EXPECT_EQ(pthread_mutex_consistent(&robust), 0);
        EXPECT_EQ(pthread_mutex_unlock(&robust), 0);
        finish();
    }
}

}  // namespace
