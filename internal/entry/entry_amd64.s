#include "textflag.h"

// start is the entry point. At SP are the arguments, as the kernel has put them; they stay there for the runtime.
TEXT ·start(SB), NOSPLIT|NOFRAME, $0-0
	SUBQ	$16, SP
	MOVL	$97, AX			// getrlimit
	MOVL	$9, DI			// RLIMIT_AS
	MOVQ	SP, SI
	SYSCALL
	MOVQ	0(SP), CX		// the soft limit
	ADDQ	$16, SP
	TESTQ	AX, AX
	JNE	enough
	MOVQ	$0x80000000, DX		// LeastAddressSpace
	CMPQ	CX, DX
	JAE	enough
	MOVL	$1, AX			// write
	MOVL	$2, DI
	MOVQ	·tooLow+0(SB), SI
	MOVQ	·tooLow+8(SB), DX	// its length
	SYSCALL
	MOVL	$231, AX		// exit_group
	MOVL	$125, DI		// CodeEngine
	SYSCALL
enough:
	JMP	_rt0_amd64_linux(SB)
