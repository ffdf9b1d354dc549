// Put before each source of the cryptographic library's assembly: it describes no frames. Nothing unwinds through it, and the
// descriptions take 50 KB of a static binary. Assemblers of LLVM look for a macro before they look for a directive.
// It may be included twice.
#if defined(__ASSEMBLER__) && !defined(FRAMELESS_H)
#define FRAMELESS_H
.macro .cfi_startproc rest:vararg
.endm
.macro .cfi_endproc rest:vararg
.endm
.macro .cfi_adjust_cfa_offset rest:vararg
.endm
.macro .cfi_def_cfa rest:vararg
.endm
.macro .cfi_def_cfa_offset rest:vararg
.endm
.macro .cfi_def_cfa_register rest:vararg
.endm
.macro .cfi_escape rest:vararg
.endm
.macro .cfi_offset rest:vararg
.endm
.macro .cfi_register rest:vararg
.endm
.macro .cfi_rel_offset rest:vararg
.endm
.macro .cfi_remember_state rest:vararg
.endm
.macro .cfi_restore rest:vararg
.endm
.macro .cfi_restore_state rest:vararg
.endm
.macro .cfi_same_value rest:vararg
.endm
#endif
