-- AlterEnum
ALTER TYPE "reasoninglevels" ADD VALUE 'XHIGH';
