// Processors, huge page size, auxiliary vector.  Runs once at boot, before the heap of
// the runtime: no allocation, 20 KiB of stack.
//
//   CU1  the count is the affinity mask's, bounded above by the CPU quota of the process's
//        control group and of every ancestor that is visible, rounded up: 1.5 processors
//        of quota are used best by 2 threads.
//   CU2  v1 (cpu.cfs_quota_us over cpu.cfs_period_us), v2 (cpu.max) and hybrid hosts, by
//        what /proc/self/cgroup and /proc/self/mountinfo say; nothing is assumed of where
//        they are mounted.
//   CU3  whatever cannot be read or makes no sense does not bound.  Garbage never fails.
#include "kernel_if/cpu.h"

#include <errno.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <string_view>
#include <utility>

#include "kernel_if/sys.h"
#include "kernel_if/syscall.h"

namespace rt0::kernel {

namespace {

using sv = std::string_view;

constexpr std::size_t path_cap = 4096;  // bytes, PATH_MAX: longer ones cannot be opened
constexpr std::uint64_t default_period = 100'000;  // us; the kernel's, when cpu.max shows only a quota

// A path built in place; one that does not fit becomes empty and opens nothing.
struct pathbuf {
    char s[path_cap];
    std::size_t n = 0;

    pathbuf& add(sv t) {
        if (n + t.size() + 1 > sizeof s) t = {}, n = 0;
        if (!t.empty()) std::memcpy(s + n, t.data(), t.size());
        n += t.size();
        s[n] = 0;
        return *this;
    }
    // Appends t with the \ooo escapes of mountinfo resolved.
    pathbuf& add_unescaped(sv t) {
        for (std::size_t i = 0; i < t.size(); i++) {
            char c = t[i];
            if (c == '\\' && i + 3 < t.size()) {
                c = static_cast<char>((t[i + 1] - '0') * 64 + (t[i + 2] - '0') * 8 + (t[i + 3] - '0'));
                i += 3;
            }
            add(sv(&c, 1));
        }
        return *this;
    }
};

// Hands out a file's lines; a line longer than the buffer is skipped whole.
class line_reader {
public:
    explicit line_reader(const char* path) { fd_ = open_file(path); }
    ~line_reader() {
        if (fd_ >= 0) close_file(fd_);
    }
    line_reader(const line_reader&) = delete;
    line_reader& operator=(const line_reader&) = delete;

    bool next(sv* line) {
        for (;;) {
            if (auto* nl = static_cast<char*>(std::memchr(buf_ + at_, '\n', end_ - at_))) {
                *line = sv(buf_ + at_, static_cast<std::size_t>(nl - (buf_ + at_)));
                at_ = static_cast<std::size_t>(nl - buf_) + 1;
                if (!std::exchange(skip_, false)) return true;
                continue;
            }
            if (eof_) {
                *line = sv(buf_ + at_, end_ - at_);
                at_ = end_;
                return !line->empty() && !std::exchange(skip_, true);
            }
            fill();
        }
    }

private:
    void fill() {
        std::memmove(buf_, buf_ + at_, end_ - at_);
        end_ -= std::exchange(at_, 0);
        if (end_ == sizeof buf_) end_ = 0, skip_ = true;
        long r = fd_ < 0 ? 0 : sysc(inject::file, SYS_read, fd_, buf_ + end_, sizeof buf_ - end_);
        if (r > 0)
            end_ += static_cast<std::size_t>(r);
        else if (r != -EINTR)
            eof_ = true;
    }

    char buf_[2 * path_cap];
    std::size_t at_ = 0, end_ = 0;
    bool eof_ = false, skip_ = false;
    long fd_;
};

sv token(sv* rest, char sep) {
    std::size_t e = rest->find(sep);
    sv t = rest->substr(0, e);
    rest->remove_prefix(e == sv::npos ? rest->size() : e + 1);
    return t;
}

bool has_item(sv list, sv item) {
    while (!list.empty())
        if (token(&list, ',') == item) return true;
    return false;
}

// A decimal number that ends the text or is followed by white space; -1 otherwise.
std::int64_t number(sv* s) {
    std::int64_t v = 0;
    std::size_t i = 0;
    for (; i < s->size() && (*s)[i] >= '0' && (*s)[i] <= '9'; i++) {
        if (v > (INT64_MAX - 9) / 10) return -1;
        v = v * 10 + ((*s)[i] - '0');
    }
    if (i == 0 || (i < s->size() && (*s)[i] != ' ' && (*s)[i] != '\n')) return -1;
    s->remove_prefix(i < s->size() ? i + 1 : i);
    return v;
}

// In processors, rounded up; 0 when the two make no sense.
int processors(std::int64_t quota, std::int64_t period) {
    if (quota <= 0 || period <= 0) return 0;
    std::int64_t n = quota / period + (quota % period != 0);
    return n > INT_MAX ? INT_MAX : static_cast<int>(n);
}

std::int64_t read_number(const pathbuf& dir, sv name) {
    pathbuf p;
    p.add(sv(dir.s, dir.n)).add(name);
    char text[64];
    long n = read_small_file(p.s, text, sizeof text);
    if (n <= 0) return -1;
    sv t(text, static_cast<std::size_t>(n));
    return number(&t);
}

int quota_v1(const pathbuf& dir) {
    return processors(read_number(dir, "/cpu.cfs_quota_us"), read_number(dir, "/cpu.cfs_period_us"));
}

int quota_v2(const pathbuf& dir) {
    pathbuf p;
    p.add(sv(dir.s, dir.n)).add("/cpu.max");
    char text[64];
    long n = read_small_file(p.s, text, sizeof text);
    if (n <= 0) return 0;
    sv t(text, static_cast<std::size_t>(n));
    std::int64_t quota = number(&t);  // -1 for "max"
    std::int64_t period = t.empty() ? static_cast<std::int64_t>(default_period) : number(&t);
    return processors(quota, period);
}

int tightest(int a, int b) { return a == 0 ? b : b == 0 || a < b ? a : b; }

struct mount {
    sv root, point;
    bool v2 = false, cpu = false;
};

// One line of mountinfo: "id parent dev root point options [tags...] - type source super".
bool parse_mount(sv line, mount* m) {
    sv head = line.substr(0, line.find(" - "));
    if (head.size() == line.size()) return false;
    sv tail = line.substr(head.size() + 3);
    sv type = token(&tail, ' ');
    token(&tail, ' ');
    m->v2 = type == "cgroup2";
    m->cpu = type == "cgroup" && has_item(token(&tail, ' '), "cpu");
    for (int i = 0; i < 3; i++) token(&head, ' ');
    m->root = token(&head, ' ');
    m->point = token(&head, ' ');
    return (m->v2 || m->cpu) && !m->point.empty();
}

// The tightest quota from the group's directory up to the mount point.
int quota_of_mount(const char* root, const mount& m, sv group) {
    pathbuf dir;
    dir.add(root).add_unescaped(m.point);
    std::size_t top = dir.n;
    pathbuf mroot;
    mroot.add_unescaped(m.root);
    sv in(mroot.s, mroot.n);
    if (in == "/") in = {};
    // A group outside what is mounted (another cgroup namespace): the mount point is all one can see.
    bool inside = group.substr(0, in.size()) == in && (group.size() == in.size() || group[in.size()] == '/');
    if (inside && group.find("/..") == sv::npos) dir.add(group.substr(in.size()));
    int best = 0;
    while (dir.n >= top && dir.n > 0) {
        while (dir.n > top && dir.s[dir.n - 1] == '/') dir.s[--dir.n] = 0;
        best = tightest(best, m.v2 ? quota_v2(dir) : quota_v1(dir));
        if (dir.n == top) break;
        while (dir.n > top && dir.s[dir.n - 1] != '/') dir.s[--dir.n] = 0;
    }
    return best;
}

// The group of this process in the hierarchy that m belongs to.
bool own_group(const char* root, const mount& m, pathbuf* group) {
    pathbuf p;
    line_reader lines(p.add(root).add("/proc/self/cgroup").s);
    for (sv line; lines.next(&line);) {
        sv id = token(&line, ':');
        sv controllers = token(&line, ':');
        if (m.v2 ? id == "0" && controllers.empty() : has_item(controllers, "cpu")) {
            group->add(line);
            return group->n > 0 && group->s[0] == '/';
        }
    }
    return false;
}

int affinity_count() {
    std::uint64_t mask[1024];  // 65,536 processors: eight times what Linux can be built for
    long n = sysc(inject::affinity, SYS_sched_getaffinity, 0, sizeof mask, mask);
    int count = 0;
    for (long i = 0; i < n / 8; i++) count += __builtin_popcountll(mask[i]);
    return count > 0 ? count : 1;
}

}  // namespace

int getcpuquota(const char* root) {
    pathbuf p;
    line_reader lines(p.add(root).add("/proc/self/mountinfo").s);
    int best = 0;
    for (sv line; lines.next(&line);) {
        mount m;
        pathbuf group;
        if (parse_mount(line, &m) && own_group(root, m, &group))
            best = tightest(best, quota_of_mount(root, m, sv(group.s, group.n)));
    }
    return best;
}

int getproccount(const char* root) { return tightest(affinity_count(), getcpuquota(root)); }

std::size_t getHugePageSize(const char* root) {
    pathbuf p;
    p.add(root).add("/sys/kernel/mm/transparent_hugepage");
    std::int64_t v = read_number(p, "/hpage_pmd_size");
    return v > 0 && (v & (v - 1)) == 0 ? static_cast<std::size_t>(v) : 0;
}

auxv read_auxv(char* const* envp) {
    auxv a;
    if (!envp) {
        if (auto v = getauxval(AT_PAGESZ)) a.page_size = v;
        a.hwcap = getauxval(AT_HWCAP);
        a.hwcap2 = getauxval(AT_HWCAP2);
        a.random = reinterpret_cast<const std::uint8_t*>(getauxval(AT_RANDOM));
        a.vdso = reinterpret_cast<const void*>(getauxval(AT_SYSINFO_EHDR));
        if (auto v = getauxval(AT_MINSIGSTKSZ)) a.minsigstksz = v;
        return a;
    }
    while (*envp) envp++;
    // The vector of (type, value) pairs stands right behind the environment's null.
    for (auto* v = reinterpret_cast<const std::uintptr_t*>(envp + 1); v[0] != AT_NULL; v += 2) switch (v[0]) {
        case AT_PAGESZ: a.page_size = v[1]; break;
        case AT_HWCAP: a.hwcap = v[1]; break;
        case AT_HWCAP2: a.hwcap2 = v[1]; break;
        case AT_RANDOM: a.random = reinterpret_cast<const std::uint8_t*>(v[1]); break;
        case AT_SYSINFO_EHDR: a.vdso = reinterpret_cast<const void*>(v[1]); break;
        case AT_MINSIGSTKSZ: a.minsigstksz = v[1]; break;
        }
    return a;
}

}  // namespace rt0::kernel
