// What a core says of the signal that a process died of.
#pragma once
#include <elf.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

namespace testing_support {

struct core_death {
    int signal, code;         // si_signo, si_code
    std::uintptr_t addr, pc;  // si_addr; where the thread that died stood
};

// Of the core in `folder`; nothing where there is none (the kernel's core_pattern may send it elsewhere).
inline std::optional<core_death> core_in(const std::filesystem::path& folder) {
    for (auto& file : std::filesystem::directory_iterator(folder)) {
        std::ifstream in(file.path(), std::ios::binary);
        auto read_at = [&](std::uint64_t at, void* to, std::size_t n) {
            in.seekg(static_cast<std::streamoff>(at));
            return bool(in.read(static_cast<char*>(to), static_cast<std::streamsize>(n)));
        };
        Elf64_Ehdr head;
        if (!read_at(0, &head, sizeof head) || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_type != ET_CORE) continue;
        Elf64_Phdr part = {};
        for (unsigned i = 0; i < head.e_phnum && part.p_type != PT_NOTE; i++)
            if (!read_at(head.e_phoff + i * sizeof part, &part, sizeof part)) return {};
        if (part.p_type != PT_NOTE) return {};
        std::vector<char> notes(part.p_filesz);
        if (!read_at(part.p_offset, notes.data(), notes.size())) return {};
        std::optional<prstatus_t> status;
        std::optional<siginfo_t> info;
        auto take = [&](auto* to, std::size_t at) {
            if (*to || at + sizeof **to > notes.size()) return;  // the first is that of the thread that died
            std::memcpy(&to->emplace(), &notes[at], sizeof **to);
        };
        auto padded = [](std::size_t n) { return (n + 3) / 4 * 4; };
        for (std::size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
            Elf64_Nhdr note;
            std::memcpy(&note, &notes[at], sizeof note);
            at += sizeof note + padded(note.n_namesz);
            if (note.n_type == NT_PRSTATUS) take(&status, at);
            if (note.n_type == NT_SIGINFO) take(&info, at);
            at += padded(note.n_descsz);
        }
        if (!status || !info) return {};
        user_regs_struct regs;
        static_assert(sizeof regs <= sizeof status->pr_reg);
        std::memcpy(&regs, &status->pr_reg, sizeof regs);
#if defined(__x86_64__)
        std::uintptr_t pc = regs.rip;
#else
        std::uintptr_t pc = regs.pc;
#endif
        return core_death{info->si_signo, info->si_code, reinterpret_cast<std::uintptr_t>(info->si_addr), pc};
    }
    return {};
}

}  // namespace testing_support
