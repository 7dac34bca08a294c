-- CreateEnum
CREATE TYPE "rating" AS ENUM ('UP', 'DOWN');

-- AlterTable
ALTER TABLE "messages" ADD COLUMN     "rating" "rating";

-- AlterTable
ALTER TABLE "complexity_estimation" ALTER COLUMN "reasoning" SET DEFAULT 'XHIGH';
